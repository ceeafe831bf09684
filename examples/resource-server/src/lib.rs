//! An API that verifies claviger's access tokens by itself.
