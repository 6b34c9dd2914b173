//! The registry: keys that are written, and the texts that a service is started with.
#![expect(unsafe_code, reason = "the registry is not in the standard library")]

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_SUCCESS};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_SET_VALUE, KEY_WOW64_64KEY, REG_OPTION_NON_VOLATILE, REG_VALUE_TYPE, RRF_NOEXPAND,
    RRF_RT_REG_EXPAND_SZ, RRF_RT_REG_MULTI_SZ, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegCloseKey, RegCreateKeyExW,
    RegFlushKey, RegGetValueW, RegOpenKeyExW, RegSetValueExW,
};
use windows_sys::core::PCWSTR;

use super::wide::{from_wide, to_wide};
use super::{running, service};

const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services\";

/// The value that holds a service's own command line, which the Service Control Manager keeps.
const COMMAND: &str = "ImagePath";

/// Longest text of a value, in units of UTF-16. A command line has half of that.
const MAX_TEXT: usize = 65_536;

/// A key below `HKEY_LOCAL_MACHINE` that is open for writing.
pub(super) struct Key(HKEY);

/// Returns a text value of a service, `kubelet\ImagePath` or `kubelet\Parameters\AppParameters`, as it stands there; nothing when
/// there is none.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for a value that is no text, or would not be the same when it is written again; otherwise as
/// `RegGetValueW`.
pub fn service_value(value: &str) -> io::Result<Option<String>> {
    Ok(read(value, RRF_RT_REG_SZ | RRF_RT_REG_EXPAND_SZ | RRF_NOEXPAND)?.map(|(_, text)| text))
}

/// Returns the text of such a value with the variables that it names filled in; nothing when there is no such value.
pub fn service_text(value: &str) -> Option<String> {
    // Asked for so, Windows fills in what is a REG_EXPAND_SZ.
    read(value, RRF_RT_REG_SZ).ok().flatten().map(|(_, text)| text)
}

/// Returns the words of a command line that stands in such a value, as [`service_text`]; none when there is no such value.
pub fn service_words(value: &str) -> Vec<String> {
    service_text(value).and_then(|text| to_wide(text).ok()).map(|line| running::split(&line)).unwrap_or_default()
}

/// Returns the texts of a value that is a list; none when there is no such value.
pub fn service_list(value: &str) -> Vec<String> {
    let Ok(Some((_, units))) = units(value, RRF_RT_REG_MULTI_SZ) else { return Vec::new() };
    units.split(|unit| *unit == 0).filter(|text| !text.is_empty()).map(String::from_utf16_lossy).collect()
}

/// Puts other text into such a value, which must exist. Its type stays. Takes effect at the next start of the service.
///
/// # Errors
/// As `RegSetValueExW` and `ChangeServiceConfigW`; the value is as it was or as it is to be.
pub fn set_service_value(value: &str, text: &str) -> io::Result<()> {
    let found = read(value, RRF_RT_REG_SZ | RRF_RT_REG_EXPAND_SZ | RRF_NOEXPAND)?;
    let (kind, _) = found.ok_or(io::ErrorKind::NotFound)?;
    let wide = to_wide(text)?;
    let (key, name) = names(value)?;
    if name == COMMAND {
        // The Service Control Manager has a copy, and makes the value a REG_EXPAND_SZ whatever it was.
        service::set_command(key, &wide)?;
    }
    let key = Key::open(&to_wide(format!("{SERVICES}{key}"))?)?;
    let bytes: Vec<u8> = wide.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    key.set(&to_wide(name)?, kind, &bytes)?;
    key.flush()
}

impl Key {
    /// Opens a key, and makes it when there is none. Its name ends with a zero.
    ///
    /// # Errors
    /// As `RegCreateKeyExW`.
    pub(super) fn create(name: PCWSTR) -> io::Result<Self> {
        let mut key = ptr::null_mut();
        // SAFETY: the name ends with a zero, and the place of the key is ours; everything else may be null.
        let code = unsafe {
            RegCreateKeyExW(
                HKEY_LOCAL_MACHINE,
                name,
                0,
                ptr::null(),
                REG_OPTION_NON_VOLATILE,
                KEY_SET_VALUE | KEY_WOW64_64KEY,
                ptr::null(),
                &raw mut key,
                ptr::null_mut(),
            )
        };
        check(code)?;
        Ok(Self(key))
    }

    fn open(name: &[u16]) -> io::Result<Self> {
        let mut key = ptr::null_mut();
        let rights = KEY_SET_VALUE | KEY_WOW64_64KEY;
        // SAFETY: the name ends with a zero, and the place of the key is ours.
        let code = unsafe { RegOpenKeyExW(HKEY_LOCAL_MACHINE, name.as_ptr(), 0, rights, &raw mut key) };
        check(code)?;
        Ok(Self(key))
    }

    /// Sets a value, whose name ends with a zero.
    ///
    /// # Errors
    /// As `RegSetValueExW`.
    pub(super) fn set(&self, name: &[u16], kind: REG_VALUE_TYPE, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: the key is open, the name ends with a zero, and the value has the size that is given.
        let code = unsafe { RegSetValueExW(self.0, name.as_ptr(), 0, kind, bytes.as_ptr(), size_of_val(bytes) as u32) };
        check(code)
    }

    /// Waits until what was set is on the disk.
    fn flush(&self) -> io::Result<()> {
        // SAFETY: the key is open.
        check(unsafe { RegFlushKey(self.0) })
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the key is open, and is closed once.
        unsafe { RegCloseKey(self.0) };
    }
}

/// Splits `kubelet\Parameters\AppParameters` into the key and the value's name.
fn names(value: &str) -> io::Result<(&str, &str)> {
    value.rsplit_once('\\').ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn read(value: &str, flags: u32) -> io::Result<Option<(REG_VALUE_TYPE, String)>> {
    let Some((kind, units)) = units(value, flags)? else { return Ok(None) };
    let text = from_wide(&units);
    // Half a character, or text behind a zero.
    if !units.strip_suffix(&[0]).unwrap_or(&units).iter().copied().eq(text.encode_utf16()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is no whole text"));
    }
    Ok(Some((kind, text)))
}

fn units(value: &str, flags: u32) -> io::Result<Option<(REG_VALUE_TYPE, Vec<u16>)>> {
    let (key, name) = names(value)?;
    let (key, name) = (to_wide(format!("{SERVICES}{key}"))?, to_wide(name)?);
    let mut units = vec![0_u16; MAX_TEXT];
    let mut size = size_of_val(units.as_slice()) as u32;
    let mut kind = 0;
    // SAFETY: both names end with a zero; the buffer has the size that is given.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            flags | RRF_SUBKEY_WOW6464KEY,
            &raw mut kind,
            units.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if code == ERROR_FILE_NOT_FOUND {
        return Ok(None);
    }
    check(code)?;
    units.truncate(size as usize / 2);
    Ok(Some((kind, units)))
}

/// Turns an error code of the registry into an error.
///
/// # Errors
/// For every code but that of success.
pub(super) fn check(code: u32) -> io::Result<()> {
    if code == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}
