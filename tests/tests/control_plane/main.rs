//! The plugin and the library against a real control plane: one for this binary, a namespace per test.

mod audits;
mod behaviours;
mod causes;
mod custom_resources;
mod endurance;
mod injector;
mod inventory;
mod levels;
mod plugin;
mod policies;
mod rollouts;
