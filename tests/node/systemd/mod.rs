//! zerohop below a service manager.

mod kept;
mod left;
mod service;
mod started;
mod told;
