//! Turns the panics of the crates that read a file into errors.
//!
//! These crates check much of a file, but not all: a start before the file's, for example, or
//! offsets that are not aligned, end in a panic. For a user such a file is damaged like any other,
//! and one error says so. A panic is also reported by the hook of the process, before it is caught.
//! That hook is not called for the panics that become errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in a call whose panics become errors.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `read`, and returns `None` if it panics. The hook of the process is not told.
///
/// The hook that is set when the first file is read hears of all other panics.
pub(super) fn without_panic<T>(read: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let of_process = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                of_process(panic);
            }
        }));
    });
    let was_guarded = IS_GUARDED.replace(true);
    // What the closure changes is dropped after a panic.
    let result = catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(was_guarded);
    result.ok()
}
