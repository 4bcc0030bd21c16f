#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zerohop_fuzz::parcel::check(data));
