//! What clients rely on, over a real socket.

mod account;
mod admin;
mod admin_list;
mod clients;
mod cookies;
mod deletion;
mod errors;
mod events;
mod gateway;
mod login;
mod logout;
mod me;
mod password;
mod profile;
mod refresh;
mod register;
mod sessions;
mod users;
