//! The groups that calls are shown in.

use serde_json::{Value, json};

/// A group of calls.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum Tag {
    Account,
    Sessions,
    Mail,
    Administration,
    Programs,
    Gateways,
    Service,
}

impl Tag {
    const ALL: [Self; 7] = [
        Self::Account,
        Self::Sessions,
        Self::Mail,
        Self::Administration,
        Self::Programs,
        Self::Gateways,
        Self::Service,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "Account",
            Self::Sessions => "Sessions",
            Self::Mail => "Mail",
            Self::Administration => "Administration",
            Self::Programs => "Programs",
            Self::Gateways => "Gateways",
            Self::Service => "Service",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Account => "Making an account, and one's own.",
            Self::Sessions => "Signing in, staying signed in, and signing out.",
            Self::Mail => {
                "Mailed tokens: asking for one, and bringing it back. Without a mail server these calls are 404."
            }
            Self::Administration => "For people with the role `admin`, as the database has it at that moment.",
            Self::Programs => "For programs with credentials of their own, and for administrators.",
            Self::Gateways => "For those in front and beside: gateways, and APIs that verify tokens by themselves.",
            Self::Service => "The process itself.",
        }
    }
}

/// All of them, in the order that people read.
pub(super) fn all() -> Value {
    Tag::ALL.iter().map(|tag| json!({ "name": tag.name(), "description": tag.description() })).collect()
}
