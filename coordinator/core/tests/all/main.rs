//! The coordinator's state machine, through its public interface.

#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod events;
#[cfg(test)]
mod extending;
#[cfg(test)]
mod external;
#[cfg(test)]
mod hanging;
#[cfg(test)]
mod leases;
mod names;
#[cfg(test)]
mod parallelism;
#[cfg(test)]
mod parking;
#[cfg(test)]
mod sampling;
#[cfg(test)]
mod silent_clients;
#[cfg(test)]
mod sleeping;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweeps;
#[cfg(test)]
mod ties;
#[cfg(test)]
mod warm_start;
