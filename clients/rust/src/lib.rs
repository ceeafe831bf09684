#![cfg_attr(all(feature = "actix", feature = "follow"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "actix", feature = "follow")),
    doc = "Verifies the access tokens of claviger without asking it, and refuses those of ended sessions within seconds."
)]

mod claims;
mod gate;
mod revocations;
mod secrets;
mod verifier;

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "follow")]
mod follow;

pub use claims::{Claims, ClientClaims, Role};
#[cfg(feature = "follow")]
pub use follow::{Follower, NoService};
pub use gate::{Gate, Refused};
pub use revocations::{RevocationList, Revocations};
pub use secrets::{BadSecrets, Secrets};
pub use verifier::{BadToken, Policy, Unusable, Verifier};
