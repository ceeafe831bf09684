//! The table `sessions`: starting, rotating and ending them.
//!
//! docs/token-lifecycle.md explains the statements; docs/adr/0003-rotation-in-one-statement.md why they are as they are.

mod end;
mod refresh;
mod start;

pub use end::{EndAll, end, end_all, end_by_token};
pub use refresh::{Presented, Refreshed, refresh};
pub use start::{NewSession, NewUser, insert, insert_with_user};
