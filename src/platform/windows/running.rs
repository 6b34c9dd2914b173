//! The processes of this machine.
#![expect(unsafe_code, reason = "processes of others are not in the standard library")]

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr;
use std::slice;

use windows_sys::Wdk::System::Threading::{NtQueryInformationProcess, ProcessCommandLineInformation};
use windows_sys::Win32::Foundation::{FILETIME, INVALID_HANDLE_VALUE, LocalFree, UNICODE_STRING};
use windows_sys::Win32::Globalization::lstrlenW;
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};

use windows_sys::Win32::UI::Shell::CommandLineToArgvW;

use super::wide::{from_wide, to_wide};
use crate::platform::Running;

/// Longest command line of a process, and of a path, in units of UTF-16.
const MAX_TEXT: usize = 32_768;

/// Returns the processes of this machine, the lowest number first. What may not be looked into has only its name. Nothing shows
/// those of another machine, so `_root` does not count.
pub fn running(_root: &Path) -> Vec<Running> {
    // SAFETY: the function only takes numbers.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Vec::new();
    }
    // SAFETY: the handle was just opened, and nobody else closes it.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let mut entry = PROCESSENTRY32W { dwSize: size_of::<PROCESSENTRY32W>() as u32, ..Default::default() };
    let mut all = Vec::new();
    // SAFETY: the snapshot is open, and the entry has the size that it says.
    let mut more = unsafe { Process32FirstW(snapshot.as_raw_handle(), &raw mut entry) };
    while more != 0 {
        all.push(describe(entry.th32ProcessID, from_wide(&entry.szExeFile)));
        // SAFETY: as above.
        more = unsafe { Process32NextW(snapshot.as_raw_handle(), &raw mut entry) };
    }
    all.sort_by_key(|process| process.pid);
    all
}

fn describe(pid: u32, name: String) -> Running {
    // SAFETY: the function only takes numbers.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return Running { pid, started: 0, program: None, arguments: vec![name] };
    }
    // SAFETY: the handle was just opened, and nobody else closes it.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    let mut arguments = command_line(&process).map(|line| split(&line)).unwrap_or_default();
    if arguments.is_empty() {
        arguments.push(name);
    }
    Running { pid, started: started(&process), program: image(&process), arguments }
}

fn started(process: &OwnedHandle) -> u64 {
    let mut times = [FILETIME::default(); 4];
    let [created, ended, kernel, user] = &mut times;
    // SAFETY: the process is open, and the four places are ours.
    let done = unsafe { GetProcessTimes(process.as_raw_handle(), created, ended, kernel, user) };
    let created = times[0];
    if done == 0 { 0 } else { u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime) }
}

fn image(process: &OwnedHandle) -> Option<String> {
    let mut path = vec![0_u16; MAX_TEXT];
    let mut length = MAX_TEXT as u32;
    // SAFETY: the process is open, and the buffer is as long as is said.
    let done = unsafe {
        QueryFullProcessImageNameW(process.as_raw_handle(), PROCESS_NAME_WIN32, path.as_mut_ptr(), &raw mut length)
    };
    (done != 0).then(|| from_wide(&path))
}

/// Returns the command line as the process was given it, from Windows 8.1 on.
fn command_line(process: &OwnedHandle) -> Option<Vec<u16>> {
    // A UNICODE_STRING and the text behind it, in words because the former has a pointer.
    let mut buffer = vec![0_u64; (size_of::<UNICODE_STRING>() + 2 * MAX_TEXT) / 8 + 1];
    let size = size_of_val(buffer.as_slice()) as u32;
    // SAFETY: the process is open; the buffer is aligned for the structure and as long as is said.
    let status = unsafe {
        NtQueryInformationProcess(
            process.as_raw_handle(),
            ProcessCommandLineInformation,
            buffer.as_mut_ptr().cast(),
            size,
            ptr::null_mut(),
        )
    };
    if status != 0 {
        return None;
    }
    // SAFETY: Windows has just written a whole UNICODE_STRING here.
    let text = unsafe { buffer.as_ptr().cast::<UNICODE_STRING>().read() };
    if text.Buffer.is_null() {
        return None;
    }
    // SAFETY: its text lies behind it in the same buffer, `Length` bytes long.
    let units = unsafe { slice::from_raw_parts(text.Buffer, usize::from(text.Length) / 2) };
    Some(units.to_vec())
}

/// Takes a command line apart as programs do.
pub(super) fn split(line: &[u16]) -> Vec<String> {
    let Ok(line) = to_wide(String::from_utf16_lossy(line).trim_end_matches('\0')) else { return Vec::new() };
    if line.len() == 1 {
        // For an empty line the function below answers with this program.
        return Vec::new();
    }
    let mut count = 0;
    // SAFETY: the line ends with a zero, and the place of the number is ours.
    let words = unsafe { CommandLineToArgvW(line.as_ptr(), &raw mut count) };
    if words.is_null() {
        return Vec::new();
    }
    // SAFETY: Windows has made so many pointers to texts.
    let pointers = unsafe { slice::from_raw_parts(words, usize::try_from(count).unwrap_or(0)) };
    let split = pointers.iter().map(|word| text_at(*word)).collect();
    // SAFETY: the memory came from the function above, and is freed once.
    unsafe { LocalFree(words.cast()) };
    split
}

fn text_at(word: *const u16) -> String {
    // SAFETY: the text ends with a zero.
    let length = unsafe { lstrlenW(word) };
    // SAFETY: so many units stand before that zero.
    let units = unsafe { slice::from_raw_parts(word, usize::try_from(length).unwrap_or(0)) };
    String::from_utf16_lossy(units)
}
