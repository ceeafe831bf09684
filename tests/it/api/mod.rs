//! What clients rely on, over a real socket.

mod account;
mod admin;
mod admin_list;
mod authorization;
mod bodies;
mod clients;
mod cookies;
mod deletion;
mod ended;
mod errors;
mod events;
mod gateway;
mod headers;
mod login;
mod logout;
mod me;
mod origins;
mod password;
mod profile;
mod refresh;
mod register;
mod sessions;
mod several_cookies;
mod users;
