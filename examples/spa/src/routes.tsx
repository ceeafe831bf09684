import type { RouteObject } from "react-router";

import { AccountPage } from "./pages/AccountPage";
import { BrokenPage } from "./pages/BrokenPage";
import { DocumentPage } from "./pages/DocumentPage";
import { DocumentsPage } from "./pages/DocumentsPage";
import { LoginPage } from "./pages/LoginPage";
import { NotFoundPage } from "./pages/NotFoundPage";
import { RegisterPage } from "./pages/RegisterPage";
import { Guests, Members } from "./session/guards";
import { Layout } from "./ui/Layout";

export const routes: RouteObject[] = [
  {
    Component: Layout,
    children: [
      {
        ErrorBoundary: BrokenPage,
        children: [
          { path: "/", Component: DocumentsPage },
          {
            Component: Members,
            children: [
              { path: "/documents/:id", Component: DocumentPage },
              { path: "/account", Component: AccountPage },
            ],
          },
          {
            Component: Guests,
            children: [
              { path: "/login", Component: LoginPage },
              { path: "/register", Component: RegisterPage },
            ],
          },
          { path: "*", Component: NotFoundPage },
        ],
      },
    ],
  },
];
