//! The coordinator's store, driver and gRPC services.

#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod check;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod events;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod large;
#[cfg(test)]
mod order;
#[cfg(test)]
mod program;
#[cfg(test)]
mod read_only;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweeps;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod workers;
