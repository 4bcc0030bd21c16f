//! What one process leaves to the next: believed by nobody.

use zerohop::listener::parcel::Parcel;

/// What can be read would be written the same; cut anywhere, it has fewer questions, or none.
pub fn check(data: &[u8]) {
    let Some(parcel) = Parcel::read(data) else { return };
    assert_eq!(parcel.write(), data);
    for end in 0..data.len() {
        if let Some(shorter) = Parcel::read(&data[..end]) {
            assert!(parcel.questions.starts_with(&shorter.questions));
            assert_eq!(shorter.write(), data[..end]);
        }
    }
}
