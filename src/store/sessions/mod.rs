//! The table `sessions`: starting, rotating, ending, listing and sweeping them.
//!
//! docs/token-lifecycle.md explains the statements; docs/adr/0003-rotation-in-one-statement.md why they are as they are.

mod end;
mod list;
pub(super) mod live;
mod refresh;
mod refresh_batch;
mod start;
mod sweep;

pub use end::{Ending, displace, end, end_all, end_by_token, is_known};
pub use list::{find_live_role, is_live, list, list_own, list_page, list_signed_in};
pub(super) use refresh::Refreshes;
pub use refresh::{Presented, Refreshed, refresh};
pub use start::{NewSession, NewUser, insert, insert_with_user};
pub use sweep::{Swept, sweep};
