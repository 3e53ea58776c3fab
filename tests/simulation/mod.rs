//! A simulated AWS: the services' own rules, in memory, under the real SDK and on tokio's virtual clock.

pub(crate) mod identity;
pub(crate) mod quota;
pub(crate) mod wire;
pub(crate) mod world;
