//! Figures of requests: how many of each route came to what, and how long they took.

use std::time::Instant;

use actix_web::http::{Method, StatusCode};

use super::error::{ApiError, Code};
use crate::figures::{Counter, Counts, Figures, Histogram, Times, count, counts_of, durations, observe};

/// What is measured of requests.
pub struct Measures {
    requests: Times<3>,
    logins: Counts<1>,
    /// A figure of its own, that is there from the start: the first one must be seen as an increase.
    bugs: Counter,
}

impl Default for Measures {
    fn default() -> Self {
        let constructor: fn() -> Histogram = durations;
        let requests = Times::new_with_constructor(constructor);
        let logins = counts_of("outcome", &["succeeded", Code::Overloaded.describe().0]);
        Self { requests, logins, bugs: Counter::default() }
    }
}

impl Measures {
    /// Enters all of it.
    pub fn enter_figures(&self, figures: &mut Figures) {
        let help = "How long requests took, from their head to the head of the answer.";
        figures.enter("http_request_duration_seconds", help, self.requests.clone());
        figures.enter("internal_errors", "Requests that a bug kept from their answer.", self.bugs.clone());
        figures.enter(
            "login",
            "Logins by what they came to: succeeded, or the code of the error.",
            self.logins.clone(),
        );
    }

    /// A request was answered. There are only so many routes and methods, whatever strangers ask for.
    pub(super) fn answered(&self, method: &Method, route: &str, status: StatusCode, started: Instant) {
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        let route = if route.is_empty() { "none" } else { route };
        let labels = [
            ("method", method.into()),
            ("route", route.to_owned().into()),
            ("status", status.as_str().to_owned().into()),
        ];
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            self.bugs.inc();
        }
        observe(&self.requests.get_or_create(&labels), started.elapsed());
    }

    pub(super) fn login(&self, refused: Option<&ApiError>) {
        let outcome = refused.map_or("succeeded", |error| error.code().describe().0);
        count(&self.logins, "outcome", outcome);
    }
}
