//! The only code that makes a [`Status`] or reads one.
//!
//! A status is sent in HTTP/2 headers, and a client accepts 16 KiB of them by default. So messages
//! and lists of problems are cut to fit.

use caviar_common::error::{ErrorClass, Problem, Problems};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// Longest message of a status without problems, in bytes.
const MAX_MESSAGE_BYTES: usize = 2_048;
/// Most problems that a status lists.
const MAX_VIOLATIONS: usize = 32;
/// Most bytes of headers for a status with problems.
const MAX_HEADER_BYTES: usize = 12_000;
/// Longest field, value and message of a problem, in bytes: short enough that one problem always
/// fits, whatever its characters.
const MAX_PART_BYTES: (usize, usize, usize) = (256, 256, 1_024);
/// The field of the last violation, which tells how many are left out.
const MORE: &str = "...";

/// The status for an error of this class. A long message is cut.
pub fn new(class: ErrorClass, message: impl Into<String>) -> Status {
    Status::new(code_of(class), clip(&message.into(), MAX_MESSAGE_BYTES))
}

/// The status for a request without a valid token. The token is never part of the message.
pub fn unauthenticated(message: impl Into<String>) -> Status {
    Status::new(Code::Unauthenticated, clip(&message.into(), MAX_MESSAGE_BYTES))
}

/// The status for a request that its token does not allow.
pub fn forbidden(message: impl Into<String>) -> Status {
    Status::new(Code::PermissionDenied, clip(&message.into(), MAX_MESSAGE_BYTES))
}

const fn code_of(class: ErrorClass) -> Code {
    match class {
        ErrorClass::Invalid => Code::InvalidArgument,
        ErrorClass::NotFound => Code::NotFound,
        ErrorClass::Exists => Code::AlreadyExists,
        ErrorClass::Refused => Code::FailedPrecondition,
        ErrorClass::Stale => Code::Aborted,
        ErrorClass::Busy => Code::ResourceExhausted,
        ErrorClass::Unavailable => Code::Unavailable,
        ErrorClass::Corrupt => Code::DataLoss,
        ErrorClass::Internal => Code::Internal,
    }
}

/// What a caller can do about a status, including one that Caviar did not make.
pub fn class_of(status: &Status) -> ErrorClass {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => ErrorClass::Invalid,
        Code::NotFound => ErrorClass::NotFound,
        Code::AlreadyExists => ErrorClass::Exists,
        Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated => {
            ErrorClass::Refused
        }
        Code::Aborted => ErrorClass::Stale,
        Code::ResourceExhausted => ErrorClass::Busy,
        // Caviar never returns Unknown. Tonic does when a connection breaks.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            ErrorClass::Unavailable
        }
        Code::DataLoss => ErrorClass::Corrupt,
        Code::Internal | Code::Ok => ErrorClass::Internal,
    }
}

/// The status for an invalid request. Its message lists the problems for people, its details
/// (`google.rpc.BadRequest`) list them for programs.
pub fn from_problems(problems: &Problems) -> Status {
    let mut listed: Vec<Problem> = Vec::new();
    let mut header_bytes = 0;
    for problem in problems.iter().take(MAX_VIOLATIONS).map(cut) {
        header_bytes += header_bytes_of(&problem);
        if header_bytes > MAX_HEADER_BYTES {
            break;
        }
        listed.push(problem);
    }
    let left_out = problems.iter().len().saturating_sub(listed.len());
    if left_out > 0 {
        listed.push(Problem::new(MORE, format!("and {left_out} more: fix these first")));
    }
    let violations: Vec<FieldViolation> =
        listed.iter().map(|p| FieldViolation::new(&p.field, describe(p))).collect();
    let message = listed.into_iter().collect::<Problems>().to_string();
    Status::with_error_details(
        Code::InvalidArgument,
        message,
        ErrorDetails::with_bad_request(violations),
    )
}

/// The problems that [`from_problems`] put into a status; `None` if it has no such details.
pub fn problems_of(status: &Status) -> Option<Problems> {
    let violations = status.get_details_bad_request()?.field_violations;
    let problems: Problems =
        violations.into_iter().map(|v| parse(v.field, &v.description)).collect();
    (!problems.is_empty()).then_some(problems)
}

/// The problem with each part cut to its limit.
fn cut(problem: &Problem) -> Problem {
    let (field, value, message) = MAX_PART_BYTES;
    Problem {
        field: clip(&problem.field, field),
        value: problem.value.as_deref().map(|text| clip(text, value)),
        message: clip(&problem.message, message),
        line: problem.line,
    }
}

fn clip(text: &str, most_bytes: usize) -> String {
    if text.len() <= most_bytes {
        return text.to_owned();
    }
    let fits = |(at, c): &(usize, char)| at + c.len_utf8() + MORE.len() <= most_bytes;
    text.char_indices().take_while(fits).map(|(_, c)| c).chain(MORE.chars()).collect()
}

/// How many bytes of headers a problem takes: once percent-encoded in the message, and twice in
/// base64 in the details, which repeat the message.
fn header_bytes_of(problem: &Problem) -> usize {
    /// The tags and lengths of a violation, "line 123: " and a newline.
    const OVERHEAD: usize = 48;
    let text = problem.to_string();
    let percent_encoded: usize =
        text.bytes().map(|b| if b.is_ascii_alphanumeric() { 1 } else { 3 }).sum();
    percent_encoded + text.len() * 8 / 3 + OVERHEAD
}

/// A problem without its field: `= 3: expected text in quotes`, or only the message if there is no
/// value. What would make the two ambiguous is percent-encoded: a colon before a space in the
/// value, and `=` or `%` at the start of a message. That is rare, and still readable.
fn describe(problem: &Problem) -> String {
    match &problem.value {
        Some(value) => {
            let value = value.replace('%', "%25").replace(": ", "%3A ");
            format!("= {value}: {}", problem.message)
        }
        None => match problem.message.split_at_checked(1) {
            Some(("=", rest)) => format!("%3D{rest}"),
            Some(("%", rest)) => format!("%25{rest}"),
            _ => problem.message.clone(),
        },
    }
}

/// The inverse of [`describe`]. A description that Caviar did not write becomes the message.
fn parse(field: String, description: &str) -> Problem {
    if let Some((value, message)) =
        description.strip_prefix("= ").and_then(|rest| rest.split_once(": "))
    {
        let value = value.replace("%3A", ":").replace("%25", "%");
        return Problem::with_value(field, value, message);
    }
    for (written, meant) in [("%3D", "="), ("%25", "%")] {
        if let Some(rest) = description.strip_prefix(written) {
            return Problem::new(field, format!("{meant}{rest}"));
        }
    }
    Problem::new(field, description)
}
