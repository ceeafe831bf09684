//! The form of the table of routes: a path, and for each method its handler and what the document says of the call. There is
//! no way to serve a call of the API without describing it.

use actix_web::http::Method;
use actix_web::web::{method, resource};
use actix_web::{FromRequest, Handler, Resource, Responder, Route};

use super::openapi::{Arguments, Operation};

/// A path of the API, and what is there.
pub(super) struct Path {
    pattern: &'static str,
    calls: Vec<Call>,
}

struct Call {
    method: Method,
    route: Route,
    read: fn() -> Operation,
    words: Words,
}

/// Adds to what a handler's arguments say of its call.
pub(super) type Words = fn(Operation) -> Operation;

/// Arguments of a handler, which the document can describe.
pub(super) trait Taken: FromRequest + Arguments + 'static {}

impl<A: FromRequest + Arguments + 'static> Taken for A {}

/// A path without calls.
pub(super) fn at(pattern: &'static str) -> Path {
    Path { pattern, calls: Vec::new() }
}

impl Path {
    pub(super) fn get<A: Taken>(self, handler: impl Handler<A, Output: Responder + 'static>, words: Words) -> Self {
        self.on(Method::GET, handler, words)
    }

    pub(super) fn post<A: Taken>(self, handler: impl Handler<A, Output: Responder + 'static>, words: Words) -> Self {
        self.on(Method::POST, handler, words)
    }

    pub(super) fn patch<A: Taken>(self, handler: impl Handler<A, Output: Responder + 'static>, words: Words) -> Self {
        self.on(Method::PATCH, handler, words)
    }

    pub(super) fn delete<A: Taken>(self, handler: impl Handler<A, Output: Responder + 'static>, words: Words) -> Self {
        self.on(Method::DELETE, handler, words)
    }

    /// For monitors, some of which ask with HEAD.
    pub(super) fn read<A: Taken>(self, handler: impl Handler<A, Output: Responder + 'static>, words: Words) -> Self {
        self.on(Method::GET, handler.clone(), words).on(Method::HEAD, handler, words)
    }

    fn on<A: Taken>(mut self, by: Method, handler: impl Handler<A, Output: Responder + 'static>, words: Words) -> Self {
        let route = method(by.clone()).to(handler);
        self.calls.push(Call { method: by, route, read: Operation::of::<A>, words });
        self
    }

    /// As the framework has it.
    pub(super) fn serve(self) -> Resource {
        self.calls.into_iter().fold(resource(self.pattern), |resource, call| resource.route(call.route))
    }

    /// The path, with names in braces for what varies.
    pub(super) fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// What the document says of each call.
    pub(super) fn operations(&self) -> Vec<(&Method, Operation)> {
        self.calls.iter().map(|call| (&call.method, (call.words)((call.read)()))).collect()
    }
}
