//! Administration.

use actix_web::http::StatusCode;

use super::{Code, OF_LARGE_ANSWERS, Operation, Tag};
use crate::auth::sweep::Removed;
use crate::domain::statistics::Statistics;
use crate::http::accounts::{EndedBody, UserBody};
use crate::http::admin::{DetailsBody, DirectoryBody};

pub(in crate::http) fn statistics(call: Operation) -> Operation {
    call.named(Tag::Administration, "statistics", "Count users, sessions, and what happened on each day")
        .answers::<Statistics>(StatusCode::OK, "Numbers, counted one after another.")
        .refuses(&[Code::Forbidden])
}

pub(in crate::http) fn list(call: Operation) -> Operation {
    call.named(Tag::Administration, "list_users", "List and find users")
        .told("A search through very many users may end early, with fewer than `limit`, or none, and a `next`.")
        .answers::<DirectoryBody>(StatusCode::OK, "Part of them.")
        .refuses(&OF_LARGE_ANSWERS)
        .refuses(&[Code::Forbidden])
}

pub(in crate::http) fn look(call: Operation) -> Operation {
    call.named(Tag::Administration, "look_at_user", "A user, with sessions and events")
        .answers::<DetailsBody>(StatusCode::OK, "What an administrator needs to help.")
        .refuses(&OF_LARGE_ANSWERS)
        .refuses(&[Code::Forbidden])
}

pub(in crate::http) fn change(call: Operation) -> Operation {
    call.named(Tag::Administration, "change_user", "Close or open an account, or give it another role")
        .told("What is absent stays. Nobody closes or demotes the own account: 403 `forbidden`.")
        .answers::<UserBody>(StatusCode::OK, "The account as it is now.")
        .refuses(&[Code::Forbidden])
}

pub(in crate::http) fn logout_all(call: Operation) -> Operation {
    call.named(Tag::Administration, "log_user_out", "End all sessions of a user")
        .answers::<EndedBody>(StatusCode::OK, "How many sessions ended.")
        .refuses(&[Code::Forbidden])
}

pub(in crate::http) fn clean_up(call: Operation) -> Operation {
    call.named(Tag::Administration, "clean_up", "Remove rows that are older than they are kept")
        .answers::<Removed>(StatusCode::OK, "How many went. After ten seconds the rest is left to the next time.")
        .refuses(&[Code::Forbidden])
}
