//! The wire of Caviar: the package `caviar.v1`, its generated code, and conversions.
//!
//! - [`v1`] is generated from the `.proto` files. The generated code is kept in `proto/generated`,
//!   so that a build needs no compiler for them; a test compares the two.
//! - [`convert`] converts its messages to the types of `caviar-common` and back. Messages are
//!   checked there, field by field. Requests that only name a sweep, a trial or a page are checked
//!   by the services in `coordinator/src/rpc`.
//! - [`status`] makes every error that leaves over gRPC, and reads it on the other side.
//!
//! ```
//! use caviar_common::ids::LeaseId;
//! use caviar_common::message::{FromWorker, Release};
//! use caviar_proto::convert::worker::{decode_from_worker, encode_from_worker};
//!
//! let message = FromWorker::Released { lease: LeaseId(7), release: Release::Drained };
//! let mut wire = encode_from_worker(&message);
//! assert_eq!(decode_from_worker(wire.clone())?, message);
//!
//! // What a peer sends is checked, and a problem has the path of its field.
//! if let Some(caviar_proto::v1::worker_message::Kind::Released(released)) = &mut wire.kind {
//!     released.release = 0;
//! }
//! let problem = decode_from_worker(wire).unwrap_err();
//! assert_eq!(
//!     problem.to_string(),
//!     "released.release = 0: unspecified: this field is required"
//! );
//! # Ok::<(), caviar_common::error::Problem>(())
//! ```
//!
//! # Adding a wire message
//!
//! Numbers and names of existing fields never change, and a removed number is reserved. A new field
//! needs a meaning for 0 or absence, because an older peer does not send it. The compiler finds
//! most matches on the messages, because they have no wildcard arm, and views are converted field
//! by field. It does not find generators, samples and documents.
//!
//! ## A message between the coordinator and its workers
//!
//! 1. **The message.** Add it to `proto/caviar/v1/worker.proto`, with the next number in the
//!    `oneof` of `WorkerMessage` or `CoordinatorMessage`. Then write `proto/generated` again:
//!    `CAVIAR_UPDATE_PROTO=1 cargo test -p caviar-proto --test generated`.
//! 2. **The domain type.** Add a variant to `FromWorker` or `ToWorker` in `common/src/message.rs`.
//!    An older peer closes the connection at a message that it does not know. So a new message
//!    increases `PROTOCOL` there, or is sent only after the peer announced that it knows the
//!    message, as `can_park` in `Hello` does. Write a new version to `docs/protocol.md`.
//! 3. **The limits.** A text or list needs a limit. Use one of `common/src/limits.rs`, or add one
//!    there and to the list in `ARCHITECTURE.md`.
//! 4. **The conversions.** Add an arm to both the `encode_` and the `decode_` function in
//!    `proto/src/convert/worker.rs`. Check every field with the functions of
//!    `proto/src/convert/field.rs`.
//! 5. **The tests of the wire.** Add the variant to the generators `from_worker` or `to_worker` in
//!    `proto/src/tests/domain.rs`; the round trips and the damaged messages then include it. Test
//!    each limit in `proto/src/tests/limits.rs`.
//! 6. **The coordinator.** Handle a `FromWorker` in `dispatch` of
//!    `coordinator/core/src/requests/workers.rs`. The handler must renew the worker's leases, as
//!    every message does: call `renew`, or `with_lease` for a message about a lease. To send a
//!    `ToWorker`, call `changes.send` in a handler of the core. What the coordinator notes about a
//!    worker is a field of `Worker` in `coordinator/core/src/volatile.rs`. Set the field in
//!    `welcome` and in `Volatile::after_restart`.
//! 7. **The worker.** Handle a `ToWorker` in `worker/src/agent.rs`, and in the worker's driver,
//!    `worker/src/driver.rs`, if it concerns the process. A `FromWorker` about a lease comes from
//!    `Agent::next_message`. One on a timer comes from `worker/src/driver.rs`, because the agent
//!    has no clock.
//! 8. **The tests of both sides.** Test the coordinator in `coordinator/core/tests/all` and
//!    `coordinator/tests/all/workers.rs`. Add the message to the model in
//!    `worker/tests/agent_model.rs` and to the match in `worker/tests/agent.rs`. The loop `next` in
//!    `worker/tests/link.rs` skips heartbeats only: skip any other message on a timer there too.
//!    Make the simulated worker in `tests/src/simulation.rs` handle it like a real one.
//! 9. **The view.** If `caviar workers` shows what the message says, add a field to `WorkerView`,
//!    as described below. In `cli/src/show/workers.rs`, give its column a heading and a rank, and
//!    name it in the comment on the order in which columns are left out.
//! 10. **The documents.** Add a row to the table of messages in `docs/protocol.md`, and a line to
//!     `CHANGELOG.md`.
//!
//! ## A call for clients
//!
//! 1. **The call.** Add the `rpc` and its request and response to the service in
//!    `proto/caviar/v1/sweep.proto`, `trial.proto` or `worker.proto`, and write `proto/generated`
//!    again as above.
//! 2. **The domain types.** What a client sees is a view in `common/src/view.rs`. What it sends is
//!    a type of its own, such as those of `common/src/ask.rs`.
//! 3. **The conversions.** Add `encode_` and `decode_` functions in `proto/src/convert/view` or
//!    `proto/src/convert/trial.rs`.
//!    A request that only names a sweep or a worker needs no type and no conversion: the service
//!    parses it, and the next step falls away.
//! 4. **The tests of the wire.** In `proto/src/tests`, add a generator to `domain.rs`, a round trip
//!    to `roundtrip.rs`, damaged messages to `hostile.rs`, and limits to `limits.rs`.
//! 5. **The status.** An error of the handler has a class of
//!    [`ErrorClass`](caviar_common::error::ErrorClass), and [`status`] chooses the code. A new
//!    class needs an arm there and in `proto/src/tests/status.rs`.
//! 6. **The server.** Implement the call in `coordinator/src/rpc`. A call that changes something
//!    goes through an `Input` in `coordinator/core/src/input.rs`, which `handle` in
//!    `coordinator/core/src/lib.rs` passes to a handler in `requests/`. It is tested in
//!    `coordinator/core/tests/all`; every call is tested in `coordinator/tests/all`. A new service
//!    is added to `coordinator/src/server.rs`.
//! 7. **The client.** Add a method to the client in `cli/client/src`, which returns a boxed
//!    `Request` (`docs/internals/build.md` says why), and test it in `cli/client/tests`. The client
//!    has no methods for the calls of external clients. "A new command" in `ARCHITECTURE.md` lists
//!    the places of a command that uses it.
//! 8. **The documents.** Describe the call in `docs/protocol.md`, name it in the table of services
//!    there, and add a line to `CHANGELOG.md`. `PROTOCOL` concerns workers and does not change.
//!
//! ## A field of an existing message
//!
//! Add it to the `.proto` file with a new number, and write `proto/generated` again before the code
//! uses the field, because the crate must compile for that. Then add it to the domain type, to both
//! conversions, and to the generator in `proto/src/tests/domain.rs`.
//!
//! - For a view, also fill it in `coordinator/core/src/query.rs` and show it in `cli/src/show`. A
//!   trial's JSON form is `TrialJson` in `common/src/view.rs`: add it there too. Extend the samples
//!   in `cli/src/show/tests/samples.rs`, write the captures again with
//!   `UPDATE_CAPTURES=1 cargo test -p caviar`, and add a line to `CHANGELOG.md`.
//! - For the sweep's spec, also add it to the draft and its checks in `common/src/spec`, to the
//!   reader of the sweep file in `common/src/spec/file.rs`, and to `docs/sweep-file.md`.
#![forbid(unsafe_code)]

pub mod convert;
pub mod status;

/// The generated messages, clients and servers of `caviar.v1`. The `.proto` files document them.
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated; the .proto files have the documentation"
)]
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::too_many_lines,
    reason = "generated and never edited"
)]
pub mod v1 {
    include!("../generated/caviar.v1.inc");
}

/// The compiled `.proto` files, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("../generated/caviar.v1.bin");

#[cfg(test)]
mod tests;
