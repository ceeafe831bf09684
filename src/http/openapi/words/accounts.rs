//! Accounts: making one, and one's own.

use actix_web::http::StatusCode;

use super::{Code, OF_LARGE_ANSWERS, OF_PROOFS, Operation, Tag};
use crate::http::accounts::{EndedBody, ExportBody, ToVerifyBody, UserBody};
use crate::http::events::EventsBody;
use crate::http::sessions::SignedInBody;

pub(in crate::http) fn register(call: Operation) -> Operation {
    call.named(Tag::Account, "register", "Make an account and sign in")
        .told(
            "Where addresses must be verified first, the answer is the user alone, and a mail says how to go on. \
             `token_transport` is as at login.",
        )
        .answers_either::<SignedInBody, ToVerifyBody>(StatusCode::CREATED, "There is an account.")
        .with_headers(&["Set-Cookie"])
        .refuses(&[Code::OriginNotAllowed, Code::EmailTaken, Code::RateLimited, Code::Overloaded])
}

pub(in crate::http) fn me(call: Operation) -> Operation {
    call.named(Tag::Account, "me", "The caller's account, fresh from the database")
        .answers::<UserBody>(StatusCode::OK, "The account.")
}

pub(in crate::http) fn change_me(call: Operation) -> Operation {
    call.named(Tag::Account, "change_me", "Change the caller's name and profile")
        .told("A merge patch (RFC 7396): what is absent stays, null removes.")
        .answers::<UserBody>(StatusCode::OK, "The account as it is now.")
}

pub(in crate::http) fn delete_me(call: Operation) -> Operation {
    call.named(Tag::Account, "delete_me", "Delete the caller's account")
        .told("With its sessions and all that describes it. What happened stays, under its id, until it is swept.")
        .answers_nothing(StatusCode::NO_CONTENT, "The account is gone.")
        .with_headers(&["Set-Cookie"])
        .refuses(&OF_PROOFS)
}

pub(in crate::http) fn export_me(call: Operation) -> Operation {
    call.named(Tag::Account, "export_me", "Everything that is kept about the caller, as a file")
        .told("Recorded as an event, so it is a POST.")
        .answers::<ExportBody>(StatusCode::OK, "A copy.")
        .with_headers(&["Content-Disposition"])
        .refuses(&OF_LARGE_ANSWERS)
}

pub(in crate::http) fn change_password(call: Operation) -> Operation {
    call.named(Tag::Account, "change_password", "Change the caller's password")
        .told("Ends the other sessions, unless they are kept.")
        .answers::<EndedBody>(StatusCode::OK, "How many sessions ended.")
        .refuses(&OF_PROOFS)
}

pub(in crate::http) fn events(call: Operation) -> Operation {
    call.named(Tag::Account, "events", "What happened to the caller's account")
        .answers::<EventsBody>(StatusCode::OK, "Part of it.")
        .refuses(&OF_LARGE_ANSWERS)
}
