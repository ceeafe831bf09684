//! Verifies the access tokens of claviger without asking it, and refuses those of ended sessions within seconds.
