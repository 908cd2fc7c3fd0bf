//! Tests of the NPY reader. Their files are written by hand, byte by byte, except in `peer`.

mod archives;
mod peer;
mod robustness;

use super::error::ItemFault;
use super::*;

/// The bytes of an NPY file of version 1 with this header, which NumPy would fill with blanks.
fn file(header: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{header}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(content);
    bytes
}

/// The header that NumPy writes.
fn header(descr: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
}

/// The bytes of an array in C order.
fn npy(descr: &str, shape: &str, content: &[u8]) -> Vec<u8> {
    file(&header(descr, "False", shape), content)
}

fn parse(bytes: &[u8]) -> Result<Array, ArrayError> {
    read(&mut Source::new(bytes, "a.npy".to_owned()), to_u64(bytes.len()))
}

fn error(bytes: &[u8]) -> String {
    parse(bytes).unwrap_err().to_string()
}

/// The items of a row of two.
fn pair(descr: &str, content: &[u8]) -> Items {
    let array = parse(&npy(descr, "(2,)", content)).unwrap();
    assert_eq!(array.shape, [2]);
    array.items
}

#[test]
fn every_type_is_read_in_both_byte_orders() {
    let short = [0xff, 0x01, 0x80, 0x02];
    let word = [0xff, 0, 0, 0x01, 0x80, 0, 0, 0x02];
    let long = [0xff, 0, 0, 0, 0, 0, 0, 0x01, 0x80, 0, 0, 0, 0, 0, 0, 0x02];
    for (descr, content, expected) in [
        ("|b1", &[1, 0][..], Items::Bool(vec![true, false])),
        ("|u1", &[7, 255], Items::U8(vec![7, 255])),
        ("|i1", &[7, 255], Items::Int(vec![7, -1])),
        ("i1", &[7, 255], Items::Int(vec![7, -1])),
        (">i1", &[7, 255], Items::Int(vec![7, -1])),
        ("<i2", &short, Items::Int(vec![0x01ff, 0x0280])),
        (">i2", &short, Items::Int(vec![-0xff, -0x7ffe])),
        ("<u2", &short, Items::Int(vec![0x01ff, 0x0280])),
        (">u2", &short, Items::Int(vec![0xff01, 0x8002])),
        ("<i4", &word, Items::Int(vec![0x0100_00ff, 0x0200_0080])),
        (">i4", &word, Items::Int(vec![-0x00ff_ffff, -0x7fff_fffe])),
        ("<u4", &word, Items::Int(vec![0x0100_00ff, 0x0200_0080])),
        (">u4", &word, Items::Int(vec![0xff00_0001, 0x8000_0002])),
        ("<i8", &long, Items::Int(vec![0x0100_0000_0000_00ff, 0x0200_0000_0000_0080])),
        (">i8", &long, Items::Int(vec![-0x00ff_ffff_ffff_ffff, -0x7fff_ffff_ffff_fffe])),
        ("<u8", &long, Items::UInt(vec![0x0100_0000_0000_00ff, 0x0200_0000_0000_0080])),
        (">u8", &long, Items::UInt(vec![0xff00_0000_0000_0001, 0x8000_0000_0000_0002])),
        ("<f2", &[0x00, 0x3e, 0x00, 0xc0], Items::F32(vec![1.5, -2.0])),
        (">f2", &[0x3e, 0x00, 0xc0, 0x00], Items::F32(vec![1.5, -2.0])),
        ("<f4", &[0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0], Items::F32(vec![1.5, -2.0])),
        (">f4", &[0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0], Items::F32(vec![1.5, -2.0])),
        (
            "<f8",
            &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0],
            Items::F64(vec![1.5, -2.0]),
        ),
        (
            ">f8",
            &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0],
            Items::F64(vec![1.5, -2.0]),
        ),
    ] {
        assert_eq!(pair(descr, content), expected, "{descr}");
    }
}

#[test]
fn text_ends_before_the_characters_that_fill_its_width() {
    let texts = |texts: [&str; 2]| Items::Text(texts.map(str::to_owned).to_vec());
    let utf32 = |text: &str, to_bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
        text.chars().flat_map(|character| to_bytes(character.into())).collect()
    };
    assert_eq!(pair("|S3", b"a\0\0\0b\0"), texts(["a", "\0b"]));
    assert_eq!(pair("|S3", "\u{20ac}xyz".as_bytes()), texts(["\u{20ac}", "xyz"]));
    assert_eq!(pair("|S0", b""), texts(["", ""]));
    assert_eq!(pair("<U0", b""), texts(["", ""]));
    let padded = "\u{1f41f}\0\0\0b\0";
    assert_eq!(pair("<U3", &utf32(padded, u32::to_le_bytes)), texts(["\u{1f41f}", "\0b"]));
    assert_eq!(pair(">U3", &utf32(padded, u32::to_be_bytes)), texts(["\u{1f41f}", "\0b"]));
}

#[test]
fn every_order_and_number_of_dimensions_is_read_in_c_order() {
    // The item at [i, j, k, l] is the number 1 + i + 2j + 6k + 24l: its place in Fortran order.
    let content: Vec<u8> = (1..=24).collect();
    let read = |order, shape: &str| {
        let array = parse(&file(&header("|u1", order, shape), &content)).unwrap();
        let Items::U8(items) = array.items else { panic!("{:?}", array.items) };
        (array.shape, items)
    };
    assert_eq!(read("False", "(2, 12)"), (vec![2, 12], content.clone()));
    assert_eq!(read("True", "(24,)"), (vec![24], content.clone()));
    for (text, shape) in
        [("(2, 12)", vec![2, 12]), ("(2, 3, 4)", vec![2, 3, 4]), ("(2, 3, 2, 2)", vec![2, 3, 2, 2])]
    {
        let mut expected = vec![1_u8];
        let mut stride = 1;
        let strides: Vec<u8> = shape
            .iter()
            .map(|&size| {
                let own = stride;
                stride *= u8::try_from(size).unwrap();
                own
            })
            .collect();
        for (&size, &stride) in shape.iter().zip(&strides) {
            expected = expected
                .iter()
                .flat_map(|&item| (0..u8::try_from(size).unwrap()).map(move |i| item + i * stride))
                .collect();
        }
        assert_eq!(read("True", text), (shape, expected), "{text}");
    }
}

#[test]
fn arrays_without_items_keep_their_shape() {
    for (text, shape) in [
        ("(0,)", vec![0]),
        ("(0, 5)", vec![0, 5]),
        ("(5, 0)", vec![5, 0]),
        ("(1, 18446744073709551615, 2, 0)", vec![1, usize::MAX, 2, 0]),
    ] {
        for order in ["True", "False"] {
            let array = parse(&file(&header("<f8", order, text), &[])).unwrap();
            assert_eq!(array, Array { shape: shape.clone(), items: Items::F64(Vec::new()) });
        }
    }
}

#[test]
fn every_16_bit_float_has_its_value() {
    let content: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let Items::F32(items) = parse(&npy("<f2", "(65536,)", &content)).unwrap().items else {
        panic!("f2 becomes f32");
    };
    for (half, value) in (0..=u16::MAX).zip(items) {
        let (exponent, fraction) = (i32::from(half >> 10 & 31), f32::from(half & 1023) / 1024.0);
        let magnitude = match exponent {
            0 => fraction * 2_f32.powi(-14),
            31 if fraction == 0.0 => f32::INFINITY,
            31 => f32::NAN,
            _ => (1.0 + fraction) * 2_f32.powi(exponent - 15),
        };
        assert_eq!(value.is_sign_negative(), half > 0x7fff, "{half:#x}");
        assert!(value.abs() == magnitude || value.is_nan() && magnitude.is_nan(), "{half:#x}");
    }
}

#[test]
fn all_versions_of_the_format_are_read() {
    let text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}";
    for version in [2, 3] {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0, 55, 0, 0, 0]);
        bytes.extend(text);
        bytes.extend([8, 9]);
        assert_eq!(parse(&bytes).unwrap().items, Items::U8(vec![8, 9]), "version {version}");
    }
    assert_eq!(
        error(b"\x93NUMPY\x04\x00\x01\x00{"),
        "a.npy: has version 4.0 of the NPY format: expected 1.0, 2.0 or 3.0"
    );
}

#[test]
fn the_header_can_have_any_layout_that_python_takes() {
    for text in [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}",
        "{\"shape\":(2L,),\"fortran_order\":False,\"descr\":\"|u1\"}          ",
        " { 'fortran_order' : False , 'descr' : '|u1' , 'shape' : ( 2 ) , } ",
    ] {
        assert_eq!(parse(&file(text, &[8, 9])).unwrap().items, Items::U8(vec![8, 9]), "{text}");
    }
}

#[test]
fn a_wrong_header_says_where_and_what_is_expected() {
    for (text, expected) in [
        ("[]", r#"byte 10: the header has "[]\n": expected a dictionary, which begins with {"#),
        (
            "{'descr': '<f8'}",
            "byte 27: the header ends: expected the keys 'descr', 'fortran_order' and 'shape'",
        ),
        (
            "{'shape': (1,), 'shape': (1,)}",
            r#"byte 26: the header has "'shape': (1,)}\n": expected one of 'descr', "#,
        ),
        ("{'size': 3}", r#"byte 11: the header has "'size': 3}\n": expected one of 'descr', "#),
        ("{'shape' (1,)}", r#"byte 19: the header has "(1,)}\n": expected a colon after the key"#),
        (
            "{'shape': 1}",
            r#"byte 20: the header has "1}\n": expected a tuple of sizes, such as (3, 4)"#,
        ),
        (
            "{'shape': (-1,)}",
            r#"byte 21: the header has "-1,)}\n": expected a whole number from 0 to 2^64 - 1"#,
        ),
        (
            "{'shape': (18446744073709551616,)}",
            r#"byte 21: the header has "18446744073709551616": expected a whole number from 0 to "#,
        ),
        (
            "{'shape': (1 2)}",
            r#"byte 23: the header has "2)}\n": expected a comma or ) after the size"#,
        ),
        ("{'fortran_order': 0}", r#"byte 28: the header has "0}\n": expected True or False"#),
        (
            "{'fortran_order': True 'shape'",
            r#"byte 33: the header has "'shape'\n": expected a comma or } after the value"#,
        ),
        ("{'descr': }", r#"byte 20: the header has "}\n": expected a type, such as '<f8'"#),
        ("{'descr': '<f8}", r#"byte 20: the header has "'<f8}\n": expected a closing quote"#),
        (
            "{'descr': [('x, '<f8')]}",
            r#"byte 30: the header has "')]}\n": expected a closing quote"#,
        ),
        (
            "{'descr': '<f8', 'fortran_order': False, 'shape': ()} + 1",
            r#"byte 64: the header has "+ 1\n": expected only blanks after the dictionary"#,
        ),
    ] {
        let found = error(&file(text, &[]));
        assert!(found.starts_with(&format!("a.npy, {expected}")), "{text}: {found}");
    }
}

#[test]
fn types_that_are_not_numbers_or_text_say_what_to_do() {
    for (descr, expected) in [
        ("'|O'", r#""|O": pickled Python objects are not read; np.save an array of numbers"#),
        ("'<c16'", r#""<c16": complex numbers are not read; np.save array.real"#),
        ("'|V8'", r#""|V8": expected numbers or text; np.save the fields as separate arrays"#),
        (
            "[('x', '<f4'), ('it\\'s', '<f8', (2, 3))]",
            r#""[('x', '<f4'), ('it\\'s', '<f8', (2, 3))]": expected numbers or text; np.save the"#,
        ),
        ("('<f4', (2,))", r#""('<f4', (2,))": expected numbers or text"#),
        ("'<M8[ns]'", r#""<M8[ns]": dates and times are not read"#),
        ("'<m8[s]'", r#""<m8[s]": dates and times are not read"#),
        ("'<f16'", r#""<f16": expected 16, 32 or 64 bits; np.save array.astype('float64')"#),
        ("'|T16'", r#""|T16": expected text of fixed width; np.save array.astype('U')"#),
        ("'<i3'", r#""<i3": expected bool, int8 to int64"#),
        ("'|S+3'", r#""|S+3": expected bool, int8 to int64"#),
        ("'<U'", r#""<U": expected bool, int8 to int64"#),
        ("''", r#""": expected bool, int8 to int64"#),
        ("'\u{e9}'", r#""é": expected bool, int8 to int64"#),
        ("'i4'", r#""i4": expected the byte order, < or >, before the type"#),
        ("'|f8'", r#""|f8": expected the byte order, < or >, before the type"#),
        ("'=U3'", r#""=U3": expected the byte order, < or >, before the type"#),
    ] {
        let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
        let found = error(&file(&text, &[]));
        let start = format!("a.npy: has items of the type {expected}");
        assert!(found.starts_with(&start), "{descr}: {found}");
    }
}

#[test]
fn an_item_that_is_not_of_its_type_is_named() {
    assert_eq!(
        error(&npy("|b1", "(3,)", &[0, 1, 2])),
        "a.npy: item 2 of the file (from 0) is the byte 2: expected 0 or 1 in an array of bool"
    );
    assert_eq!(
        error(&npy("<U1", "(2,)", &[65, 0, 0, 0, 0, 0xd8, 0, 0])),
        "a.npy: item 1 of the file (from 0) has the code point 0xd800: expected Unicode text"
    );
    let Err(ArrayError::Item { item: 0, fault, .. }) = parse(&npy("|S1", "(1,)", &[0xe9])) else {
        panic!("one byte of Latin-1");
    };
    assert_eq!(fault, ItemFault::NotUtf8);
}

#[test]
fn the_number_of_dimensions_is_limited() {
    for (shape, found) in [("()", 0), ("(1, 1, 1, 1, 1)", 5)] {
        assert_eq!(
            error(&npy("|u1", shape, &[1])),
            format!("a.npy: has {found} dimensions: expected 1 to 4, and the rows first")
        );
    }
}

/// All of these would need more memory than the limit, and none has any items in the file.
#[test]
fn sizes_are_checked_before_the_memory_is_allocated() {
    for shape in [
        "(1, 1048577)",
        "(1, 1025, 1024)",
        "(536870913,)",
        "(512, 1048577)",
        "(513, 1048576)",
        "(18446744073709551615, 2)",
        "(2, 18446744073709551615, 2)",
    ] {
        for descr in ["|u1", "<U1"] {
            let found = error(&npy(descr, shape, &[]));
            assert!(found.contains("which is too large"), "{shape}: {found}");
        }
    }
    assert_eq!(
        error(&npy("|u1", "(1, 1048577)", &[])),
        "a.npy: has the shape [1, 1048577], which is too large: expected at most 1048576 features \
         (the product of all dimensions but the first) and 536870912 numbers"
    );
    let longest = npy("<f8", "(512, 1048576)", &[]);
    assert_eq!(
        error(&longest),
        format!(
            "a.npy: ends after {} bytes: expected {}, as its header says",
            longest.len(),
            longest.len() + (1 << 32)
        )
    );
}

#[test]
fn the_width_and_the_memory_of_text_are_limited() {
    for (descr, shape, expected) in [
        ("<U1025", "(1,)", "has text items of 4100 bytes: expected at most 4096"),
        ("|S4097", "(1,)", "has text items of 4097 bytes: expected at most 4096"),
        ("<U1", "(89478486,)", "has 89478486 text items of 4 bytes, which is too much"),
        ("|S4096", "(524289,)", "has 524289 text items of 4096 bytes, which is too much"),
        ("<U1", "(89478485,)", "ends after"),
        ("|S4096", "(524288,)", "ends after"),
        ("<U18446744073709551615", "(1,)", "has text items of 18446744073709551615 bytes"),
    ] {
        let found = error(&npy(descr, shape, &[]));
        assert!(found.starts_with(&format!("a.npy: {expected}")), "{descr}: {found}");
    }
}

#[test]
fn a_long_header_is_refused_before_it_is_read() {
    assert_eq!(
        error(b"\x93NUMPY\x02\x00\x01\x00\x01\x00"),
        "a.npy: has a header of 65537 bytes: expected at most 65536"
    );
    assert_eq!(
        error(b"\x93NUMPY\x02\x00\x00\x00\x01\x00{"),
        "a.npy: ends after 13 bytes: expected 65548, as its header says"
    );
}

#[test]
fn a_file_of_another_length_than_its_header_says_is_refused() {
    let whole = npy("<f4", "(2,)", &[0; 8]);
    assert!(parse(&whole).is_ok());
    for length in 0..whole.len() {
        let found = error(&whole[..length]);
        let expected = match length {
            0 => "is empty".to_owned(),
            1..6 => "is not an array of NumPy".to_owned(),
            6..10 => format!("ends after {length} bytes: expected 10"),
            _ if length < whole.len() - 8 => {
                format!("ends after {length} bytes: expected {}", whole.len() - 8)
            }
            _ => format!("ends after {length} bytes: expected {}", whole.len()),
        };
        assert!(found.starts_with(&format!("a.npy: {expected}")), "{length}: {found}");
    }
    let longer = [whole.as_slice(), &[0, 0, 0]].concat();
    assert_eq!(
        error(&longer),
        format!(
            "a.npy: has {} bytes: expected {}, as its header says; does it hold a second array?",
            longer.len(),
            whole.len()
        )
    );
}

#[test]
fn a_short_file_is_refused_before_its_items_are_read() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let header = npy("<f4", "(2,)", &[]);
    let length = to_u64(header.len());
    let read = |found| read(&mut Source::new(header.chain(Broken), "a.npy".to_owned()), found);
    let short = read(length + 7);
    assert!(matches!(short, Err(ArrayError::Truncated { .. })), "{short:?}");
    assert_eq!(
        read(length + 8).unwrap_err().to_string(),
        format!("a.npy: cannot be read after byte {length}: bad sector")
    );
}

/// Another process can change the file after its length was read.
#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let whole = npy("<f4", "(2,)", &[0; 8]);
    let length = to_u64(whole.len());
    let shorter = read(&mut Source::new(&whole[..whole.len() - 3], "a.npy".to_owned()), length);
    assert!(
        matches!(shorter, Err(ArrayError::Truncated { found, expected, .. })
            if found == length - 3 && expected == length),
        "{shorter:?}"
    );
    let longer = [whole.as_slice(), &[0]].concat();
    let longer = read(&mut Source::new(longer.as_slice(), "a.npy".to_owned()), length);
    assert!(matches!(longer, Err(ArrayError::Read { at, .. }) if at == length + 1), "{longer:?}");
}

#[test]
fn only_regular_files_are_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npy");
    let path = path.to_str().unwrap();
    for result in [read_npy(path).map(|_| ()), list_npz(path).map(|_| ())] {
        let found = result.unwrap_err().to_string();
        assert!(found.starts_with(&format!("{path}: cannot be opened: ")), "{found}");
    }
    let found = read_npy(directory.path().to_str().unwrap()).unwrap_err().to_string();
    assert!(found.contains("expected a regular file"), "{found}");
    // More than the buffer of the reader, and not a multiple of it.
    let numbers: Vec<u8> = (0..100_003_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(path, npy("<u4", "(100003,)", &numbers)).unwrap();
    assert_eq!(read_npy(path).unwrap().items, Items::Int((0..100_003).collect()));
}
