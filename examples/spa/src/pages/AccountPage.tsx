import { useState } from "react";

import { Password } from "../account/Password";
import { Sessions } from "../account/Sessions";
import { useSession } from "../session/store";
import { Page } from "../ui/Page";

export function AccountPage() {
  const user = useSession((session) => session.user);
  const [changes, setChanges] = useState(0);
  return (
    <Page title="Account" intro={user && (user.full_name ? `${user.full_name}, ${user.email}` : user.email)}>
      <div className="columns">
        {/* A new password ends sessions. */}
        <Sessions key={changes} />
        <Password email={user?.email ?? ""} onChanged={() => setChanges(changes + 1)} />
      </div>
    </Page>
  );
}
