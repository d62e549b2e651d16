//! The notify stage in a simulated world: channels, the outbox under outages and crashes, pages and run books.

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
mod runbooks;
mod world;
