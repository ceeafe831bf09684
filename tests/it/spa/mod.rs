//! examples/spa in a real browser, as its README has it built, against the real service and the real resource server.

mod access;
mod built;
mod documents;
mod forms;
mod newcomer;
mod outage;
mod sessions;
mod site;
