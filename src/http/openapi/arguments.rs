//! What the arguments of a handler say about its call: who may make it, what the request holds, and what can be wrong with
//! that. A handler that takes something else takes it with a description.

use actix_web::{HttpRequest, web};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::operation::Operation;
use super::security;
use crate::http::bearer::{Caller, CheckedUser, CurrentUser};
use crate::http::body::Body;
use crate::http::error::Code;
use crate::http::token::TokenRequest;
use crate::http::{Outside, State};

/// Something that a handler takes.
pub(in crate::http) trait Argument {
    /// Adds what it means for the call.
    fn describe(operation: &mut Operation);
}

impl Argument for State {
    fn describe(operation: &mut Operation) {
        operation.refuse(&[Code::DatabaseUnavailable]);
    }
}

impl Argument for Outside {
    fn describe(_operation: &mut Operation) {}
}

impl Argument for HttpRequest {
    fn describe(_operation: &mut Operation) {}
}

const OF_BEARERS: [Code; 3] = [Code::AccessTokenMissing, Code::AccessTokenInvalid, Code::AccessTokenExpired];
/// Several `Authorization` headers that differ.
const OF_HEADERS: [Code; 1] = [Code::MalformedRequest];

impl Argument for CurrentUser {
    fn describe(operation: &mut Operation) {
        operation.security = vec![json!({ security::USER: [] })];
        operation.refuse(&OF_BEARERS);
        operation.refuse(&OF_HEADERS);
    }
}

impl Argument for CheckedUser {
    fn describe(operation: &mut Operation) {
        operation.security = vec![json!({ security::USER: [] })];
        operation.refuse(&OF_BEARERS);
    }
}

/// A person or a program: which scope that needs, its words say.
impl Argument for Caller {
    fn describe(operation: &mut Operation) {
        operation.refuse(&OF_BEARERS);
        operation.refuse(&OF_HEADERS);
        operation.refuse(&[Code::InsufficientScope]);
    }
}

impl<T: ToSchema> Argument for Body<T> {
    fn describe(operation: &mut Operation) {
        operation.take_body::<T>(&["application/json"]);
        operation.refuse(&[
            Code::MalformedRequest,
            Code::RequestTimeout,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::ValidationFailed,
        ]);
    }
}

/// The handler decides what becomes of an error.
impl<A: Argument> Argument for Result<A, actix_web::Error> {
    fn describe(operation: &mut Operation) {
        let refusals = operation.refusals.clone();
        A::describe(operation);
        operation.refusals = refusals;
        if !operation.security.is_empty() {
            operation.security.push(json!({}));
        }
    }
}

impl Argument for TokenRequest {
    fn describe(operation: &mut Operation) {
        operation.take_body::<Self>(&["application/x-www-form-urlencoded", "application/json"]);
        operation.refuse(&[
            Code::InvalidRequest,
            Code::RequestTimeout,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
            Code::MalformedRequest,
        ]);
    }
}

impl<Q: IntoParams> Argument for web::Query<Q> {
    fn describe(operation: &mut Operation) {
        operation.take_query::<Q>();
        operation.refuse(&[Code::MalformedRequest, Code::ValidationFailed]);
    }
}

/// What is no id is nobody's.
impl Argument for web::Path<String> {
    fn describe(operation: &mut Operation) {
        operation.take_id();
        operation.refuse(&[Code::NotFound]);
    }
}

/// All that a handler takes.
pub(in crate::http) trait Arguments {
    /// Adds what they mean for the call.
    fn describe(operation: &mut Operation);
}

macro_rules! arguments {
    ($($argument:ident)*) => {
        impl<$($argument: Argument),*> Arguments for ($($argument,)*) {
            fn describe(_operation: &mut Operation) {
                $($argument::describe(_operation);)*
            }
        }
    };
}

arguments!();
arguments!(A);
arguments!(A B);
arguments!(A B C);
arguments!(A B C D);
arguments!(A B C D E);
