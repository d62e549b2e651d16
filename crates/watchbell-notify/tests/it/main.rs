//! The notify stage in a simulated world: channels, the outbox under outages and crashes, pages and run books.

mod acceptance;
mod acknowledged;
mod buttons;
mod channels;
mod chat;
mod crashes;
mod duty;
mod floods;
mod mail;
mod outages;
mod pages;
mod pictures;
mod route_labels;
mod runbooks;
mod switch;
mod world;
