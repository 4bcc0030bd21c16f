//! Names and records off the wire.

use super::*;

#[test]
fn pointers_only_go_backwards() {
    let mut message = vec![0; HEADER];
    message.extend_from_slice(b"\x01a\x00\x01b\xc0\x0c\xc0\x13\xc0\x0f");
    let (name, behind) = WireName::read(&message, 15).unwrap();
    assert_eq!((name.wire(), behind), (&b"\x01b\x01a\x00"[..], 19));
    assert!(WireName::read(&message, 19).is_err(), "a pointer to itself");
    assert_eq!(WireName::read(&message, 21).unwrap().0.wire(), b"\x01b\x01a\x00");
    assert!(WireName::read(&message, 22).is_err(), "cut");
}

#[test]
fn a_ladder_of_pointers_is_climbed_so_far() {
    let mut message = vec![0];
    for step in 0..200_u16 {
        message.extend_from_slice(&(0xc000 | (2 * step).saturating_sub(1)).to_be_bytes());
    }
    let top = |pointers: usize| WireName::read(&message, 2 * pointers - 1);
    assert_eq!(top(127).unwrap().0.wire(), [0]);
    assert!(top(128).is_err());
}

#[test]
fn a_name_is_at_most_255_octets_however_it_is_pieced_together() {
    let mut message = Vec::new();
    for _ in 0..5 {
        message.push(63);
        message.extend([b'x'; 63]);
    }
    message.push(0);
    assert!(WireName::read(&message, 0).is_err());
    assert_eq!(WireName::read(&message, 128).unwrap().0.wire().len(), 193);
}

/// A response to `a. SRV` with one record of this type and RDATA.
fn with_rdata(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1, b'a', 0, 0, 33, 0, 1, 0xc0, 12];
    message.extend_from_slice(&rtype.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0x80, 0, 0, 5]);
    message.extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
    message.extend_from_slice(rdata);
    message
}

fn rdata_of(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let message = Message::parse(bytes)?;
    let mut out = Vec::new();
    message.write_rdata(&message.records[0], &mut out).map(|()| out)
}

#[test]
fn rdata_is_decompressed_by_the_shape_of_its_type() {
    assert_eq!(
        rdata_of(&with_rdata(33, b"\0\x01\0\x02\0\x03\x01b\xc0\x0c")).unwrap(),
        b"\0\x01\0\x02\0\x03\x01b\x01a\0"
    );
    assert_eq!(rdata_of(&with_rdata(65, b"\0\x01\xc0\x0c\0\x03\0\0")).unwrap(), b"\0\x01\x01a\0\0\x03\0\0");
    assert_eq!(rdata_of(&with_rdata(65, b"\0\x01")), Err(Malformed), "no target");
    assert_eq!(rdata_of(&with_rdata(65280, b"\xc0\x0c")).unwrap(), b"\xc0\x0c", "an unknown type is left alone");
    assert_eq!(rdata_of(&with_rdata(65280, b"")).unwrap(), b"");
    assert_eq!(rdata_of(&with_rdata(1, &[10, 0, 0])), Err(Malformed), "three octets are no address");
    assert_eq!(rdata_of(&with_rdata(5, b"\x01b\0junk")), Err(Malformed), "octets behind the name");
    assert_eq!(rdata_of(&with_rdata(35, b"\0\0\0\0\x05a")), Err(Malformed), "a cut character-string");
}

#[test]
fn lengths_within_rdata_lie_within_it() {
    let good: [(u16, &[u8]); 11] = [
        (47, b"\x01a\0\0\x01\x40\x01\x02\0\x80"),
        (50, b"\x01\0\0\0\0\x01c"),
        (16, b"\x04text\x00\x01a"),
        (13, b"\x03cpu\x02os"),
        (257, b"\x00\x05issueca.example"),
        (65, b"\0\x01\0\0\x01\0\x03\x02h2\0\x03\0\x02\x01\xbb"),
        (64, b"\0\0\x01a\0"),
        (50, b"\x01\0\0\0\x02\xaa\xbb\x02cc\0\x01\x40"),
        (51, b"\x01\0\0\0\0"),
        (43, b"\0\x01\x08\x02"),
        (44, b"\x01\x01"),
    ];
    for (rtype, rdata) in good {
        assert_eq!(rdata_of(&with_rdata(rtype, rdata)).unwrap(), rdata, "type {rtype}");
    }
    let bad: [(u16, &[u8]); 12] = [
        (47, b"\x01a\0\0\x20\x40"),
        (47, b"\x01a\0\0\x01\x40\x01"),
        (16, b""),
        (16, b"\xc8text"),
        (16, b"\x04text\x05cut"),
        (13, b"\x03cpu"),
        (13, b"\x03cpu\x02os\x00"),
        (257, b"\x00\x09issue"),
        (65, b"\0\x01\0\0\x01\0\x20\x02h"),
        (65, b"\0\x01\0\0\x01\0"),
        (50, b"\x01\0\0\0\x02\xaa\xbb\xffcc"),
        (43, b"\0\x01\x08"),
    ];
    for (rtype, rdata) in bad {
        assert_eq!(rdata_of(&with_rdata(rtype, rdata)), Err(Malformed), "type {rtype} {rdata:02x?}");
    }
}

#[test]
fn a_ttl_with_its_top_bit_set_is_zero() {
    let message = with_rdata(1, &[10, 0, 0, 1]);
    assert_eq!(Message::parse(&message).unwrap().records[0].ttl, 0);
}

#[test]
fn counts_and_lengths_are_believed_only_as_far_as_the_message_goes() {
    let good = with_rdata(1, &[10, 0, 0, 1]);
    for cut in 0..good.len() {
        assert!(Message::parse(&good[..cut]).is_err(), "{cut}");
    }
    let mut more = good;
    more[7] = 2;
    assert!(Message::parse(&more).is_err());
}
