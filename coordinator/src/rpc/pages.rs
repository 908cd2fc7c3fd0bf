//! Pages of a listing. A page is limited in elements and in bytes, and the token for the next page
//! is valid only for the same listing.

use caviar_common::error::{ErrorClass, Problem};
use caviar_common::limits::MAX_PAGE;
use caviar_common::numbers::index;
use caviar_common::text::quoted;
use caviar_proto::status;
use prost::Message;
use tonic::Status;

use super::api::invalid;

/// Number of elements in a page if the request does not set `page_size`.
const DEFAULT_PAGE: usize = 100;
/// Most bytes in a page: below the 4 MiB that gRPC clients accept by default.
const MAX_PAGE_BYTES: usize = 3 << 20;
/// Most metric values in the curves of one page. It bounds what is read before the page is reduced
/// to its size in bytes.
pub(super) const MAX_PAGE_VALUES: usize = 200_000;

/// The number of elements in a page. A `page_size` above the maximum is reduced to it, because the
/// next page contains the rest.
pub(super) fn length(page_size: u32) -> usize {
    match index(page_size) {
        0 => DEFAULT_PAGE,
        size => size.min(MAX_PAGE),
    }
}

/// A hash of what a request lists, in its tokens. It rejects a token of one listing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listing(u64);

impl Listing {
    /// The listing that these numbers describe, such as its filters and its order.
    pub(super) fn from_numbers(numbers: impl IntoIterator<Item = u64>) -> Self {
        // FNV-1a protects against mistakes; it does not have to resist attackers.
        let bytes = numbers.into_iter().flat_map(u64::to_le_bytes);
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// The token for the page that begins at `position`, a number that the caller chooses.
    pub(super) fn token(self, position: u64) -> String {
        format!("{:016x}{position:x}", self.0)
    }

    /// The position in a token; 0, the beginning, for an empty token.
    pub(super) fn position(self, token: &str) -> Result<u64, Status> {
        if token.is_empty() {
            return Ok(0);
        }
        let parsed = token.split_at_checked(16).and_then(|(listing, position)| {
            Some((u64::from_str_radix(listing, 16).ok()?, u64::from_str_radix(position, 16).ok()?))
        });
        match parsed {
            Some((listing, position)) if listing == self.0 => Ok(position),
            Some(_) => Err(status::new(
                ErrorClass::Stale,
                "page_token belongs to another listing; hint: start again without a page_token",
            )),
            None => Err(invalid(Problem::with_value(
                "page_token",
                quoted(token),
                "expected the next_page_token of the previous page, or an empty text",
            ))),
        }
    }
}

/// The first of `messages`, as many as fit into the bytes of a page, but at least one.
pub(super) fn fit<M: Message>(messages: Vec<M>) -> Vec<M> {
    let mut bytes = 0;
    let mut first = true;
    let fits = |message: &M| {
        bytes += message.encoded_len();
        std::mem::replace(&mut first, false) || bytes <= MAX_PAGE_BYTES
    };
    messages.into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use caviar_proto::v1;

    use super::*;

    #[test]
    fn a_token_is_valid_only_for_its_listing() {
        let listing = Listing::from_numbers([1, 2]);
        assert_eq!(listing.position(&listing.token(700)).unwrap(), 700);
        assert_eq!(listing.position("").unwrap(), 0);
        assert_eq!(
            Listing::from_numbers([2, 1]).position(&listing.token(7)).unwrap_err().code(),
            tonic::Code::Aborted
        );
        for malformed in ["7", "zzzzzzzzzzzzzzzz7", "0123456789abcdef", "é123456789abcdef0"] {
            assert_eq!(
                listing.position(malformed).unwrap_err().code(),
                tonic::Code::InvalidArgument,
                "{malformed}"
            );
        }
    }

    #[test]
    fn a_page_is_limited_in_bytes_and_in_elements() {
        let note = |bytes| v1::Sweep { notes: vec!["x".repeat(bytes)], ..v1::Sweep::default() };
        assert_eq!(fit(vec![note(MAX_PAGE_BYTES + 1), note(1)]).len(), 1, "the first always fits");
        assert_eq!(
            fit(vec![note(MAX_PAGE_BYTES / 2), note(MAX_PAGE_BYTES / 4), note(MAX_PAGE_BYTES / 2)])
                .len(),
            2
        );
        assert_eq!((length(0), length(7), length(u32::MAX)), (DEFAULT_PAGE, 7, MAX_PAGE));
    }
}
