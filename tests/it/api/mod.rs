//! What clients rely on, over a real socket.

mod errors;
mod login;
mod logout;
mod me;
mod refresh;
mod register;
