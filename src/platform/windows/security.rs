//! Security descriptors of files, and the accounts in this process's token.
#![expect(unsafe_code, reason = "access control is not in the standard library")]

use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::slice;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, ConvertStringSidToSidW, GetSecurityInfo, SDDL_REVISION_1,
    SE_FILE_OBJECT, SetSecurityInfo,
};
use windows_sys::Win32::Security::{
    ACL, CheckTokenMembership, DACL_SECURITY_INFORMATION, DuplicateToken, GetLengthSid, GetSecurityDescriptorControl,
    GetTokenInformation, LookupAccountSidW, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, PSID, SE_DACL_PROTECTED, SECURITY_ATTRIBUTES, SecurityIdentification, TOKEN_DUPLICATE,
    TOKEN_QUERY, TOKEN_USER, TokenUser, UNPROTECTED_DACL_SECURITY_INFORMATION,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, OpenProcess, OpenProcessToken, PROCESS_QUERY_LIMITED_INFORMATION,
};
use windows_sys::w;

use super::access::{Access, Sid};
use super::wide::{from_wide, to_wide};

/// Memory that Windows allocated for us.
struct Local(*mut core::ffi::c_void);

/// A security descriptor for something that is about to be created.
pub(super) struct Descriptor(Local);

/// Whom a new file or directory lets in.
#[derive(Clone, Copy, Debug)]
pub(super) enum For {
    /// A file that nobody else may read.
    PrivateFile,
    /// A directory that nobody else may enter.
    PrivateDir,
    /// A directory above it, which users may read.
    ParentDir,
}

/// `TOKEN_USER` and the longest SID behind it (16 + 68 bytes), in words because the first field is a pointer.
const USER_WORDS: usize = 11;

/// Longest name of an account or a domain, and the zero.
const MAX_NAME: usize = 257;

impl Descriptor {
    /// Describes access for SYSTEM and Administrators. An account that is no Administrator owns what it creates itself, since
    /// Windows lets it make nobody else the owner; what it creates serves that account alone.
    ///
    /// # Errors
    /// As the Windows functions.
    pub(super) fn new(what: For) -> io::Result<Self> {
        let mut text = if is_administrator()? {
            "O:BAG:SYD:P(A;INHERIT;FA;;;SY)(A;INHERIT;FA;;;BA)".to_owned()
        } else {
            let me = current_user()?;
            format!("O:{me}D:P(A;INHERIT;FA;;;SY)(A;INHERIT;FA;;;BA)(A;INHERIT;FA;;;{me})")
        };
        let inherit = match what {
            For::PrivateFile => "",
            For::PrivateDir => "OICI",
            For::ParentDir => {
                text.push_str("(A;INHERIT;0x1200a9;;;BU)");
                "OICI"
            }
        };
        Self::from_sddl(&text.replace("INHERIT", inherit))
    }

    /// Reads the access control list of an open file, and its owner when that is wanted.
    ///
    /// # Errors
    /// As `GetSecurityInfo`.
    pub(super) fn of(file: &File, with_owner: bool) -> io::Result<Self> {
        let owner = if with_owner { OWNER_SECURITY_INFORMATION } else { 0 };
        let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
        // SAFETY: the handle is open, the descriptor's place is ours, and what is not asked for may be null.
        let code = unsafe {
            GetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                owner | DACL_SECURITY_INFORMATION,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut descriptor,
            )
        };
        if code != ERROR_SUCCESS {
            return Err(io::Error::from_raw_os_error(code.cast_signed()));
        }
        Ok(Self(Local(descriptor)))
    }

    /// Reads the text form of a descriptor.
    ///
    /// # Errors
    /// As `ConvertStringSecurityDescriptorToSecurityDescriptorW`.
    pub(super) fn from_sddl(text: &str) -> io::Result<Self> {
        let text = to_wide(text)?;
        let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
        // SAFETY: the text ends with a zero, and the descriptor's place is ours.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        check(done)?;
        Ok(Self(Local(descriptor)))
    }

    /// Returns the form in which functions that create something take it. It points into `self`.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        }
    }
}

/// Reads owner and access control list of an open file or directory.
///
/// # Errors
/// As `GetSecurityInfo`; [`io::ErrorKind::InvalidData`] for a list that cannot be judged.
pub(super) fn access_of(file: &File) -> io::Result<Access> {
    let mut owner: PSID = ptr::null_mut();
    let mut list: *mut ACL = ptr::null_mut();
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // SAFETY: the handle is open, and every place is ours; the two that are not asked for may be null.
    let code = unsafe {
        GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            ptr::null_mut(),
            &raw mut list,
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(code.cast_signed()));
    }
    // Owner and list point into it.
    let _descriptor = Local(descriptor);
    // SAFETY: the owner is null or a SID that Windows made, alive until the descriptor is freed.
    let owner = unsafe { sid_bytes(owner) };
    // SAFETY: the list is null or an ACL that Windows made, alive as long, and its header is always there.
    let size = unsafe { list.as_ref() }.map(|list| usize::from(list.AclSize));
    // SAFETY: `AclSize` counts the header and every entry.
    let list = size.map(|size| unsafe { slice::from_raw_parts(list.cast::<u8>(), size) });
    Access::parse(owner, list).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Gives an open file the access control list of another.
///
/// # Errors
/// As `GetSecurityInfo` and `SetSecurityInfo`.
pub(super) fn copy_list(from: &File, to: &File) -> io::Result<()> {
    let mut list: *mut ACL = ptr::null_mut();
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // SAFETY: the handle is open, and every place is ours; those that are not asked for may be null.
    let code = unsafe {
        GetSecurityInfo(
            from.as_raw_handle(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION,
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut list,
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(code.cast_signed()));
    }
    // The list points into it.
    let descriptor = Local(descriptor);
    let (mut control, mut revision) = (0, 0);
    // SAFETY: the descriptor is alive, and both places are ours.
    let done = unsafe { GetSecurityDescriptorControl(descriptor.0, &raw mut control, &raw mut revision) };
    check(done)?;
    let is_protected = control & SE_DACL_PROTECTED != 0;
    let inheritance =
        if is_protected { PROTECTED_DACL_SECURITY_INFORMATION } else { UNPROTECTED_DACL_SECURITY_INFORMATION };
    // SAFETY: the handle is open for this, and the list is alive as long as the descriptor.
    let code = unsafe {
        SetSecurityInfo(
            to.as_raw_handle(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | inheritance,
            ptr::null_mut(),
            ptr::null_mut(),
            list,
            ptr::null(),
        )
    };
    if code == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}

/// Returns whether this process acts as a member of Administrators, as SYSTEM does. For an administrator whose token User
/// Account Control has filtered, it does not.
///
/// # Errors
/// As the Windows functions.
pub(super) fn is_administrator() -> io::Result<bool> {
    // A null token is the caller's own.
    is_member_of_administrators(ptr::null_mut())
}

fn is_member_of_administrators(token: HANDLE) -> io::Result<bool> {
    let mut sid: PSID = ptr::null_mut();
    // SAFETY: the text ends with a zero, and the place of the SID is ours.
    let done = unsafe { ConvertStringSidToSidW(w!("S-1-5-32-544"), &raw mut sid) };
    check(done)?;
    let sid = Local(sid);
    let mut is_member = 0;
    // SAFETY: the token is null or open for impersonation; the SID is alive, and the place of the answer is ours.
    let done = unsafe { CheckTokenMembership(token, sid.0, &raw mut is_member) };
    check(done)?;
    Ok(is_member != 0)
}

/// Returns the account of this process.
///
/// # Errors
/// As the Windows functions.
pub(super) fn current_user() -> io::Result<Sid> {
    // SAFETY: the function has no arguments, and what it returns need not be closed.
    sid_of(unsafe { GetCurrentProcess() })
}

/// Opens another process, to ask whose it is.
///
/// # Errors
/// As `OpenProcess`.
pub(super) fn open_process(number: u32) -> io::Result<OwnedHandle> {
    // SAFETY: the function takes any number.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, number) };
    if process.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the process was just opened, and nobody else closes it.
    Ok(unsafe { OwnedHandle::from_raw_handle(process) })
}

/// Returns whether another process acts as a member of Administrators.
///
/// # Errors
/// As the Windows functions.
pub(super) fn acts_for_administrators(process: &OwnedHandle) -> io::Result<bool> {
    let token = open_token(process.as_raw_handle(), TOKEN_QUERY | TOKEN_DUPLICATE)?;
    let mut copy = ptr::null_mut();
    // SAFETY: the token is open, and the place of its copy is ours.
    let done = unsafe { DuplicateToken(token.as_raw_handle(), SecurityIdentification, &raw mut copy) };
    check(done)?;
    // SAFETY: the copy was just made, and nobody else closes it.
    let copy = unsafe { OwnedHandle::from_raw_handle(copy) };
    is_member_of_administrators(copy.as_raw_handle())
}

/// Returns the account of another process, opened for `PROCESS_QUERY_LIMITED_INFORMATION`.
///
/// # Errors
/// As the Windows functions.
pub(super) fn user_of(process: &OwnedHandle) -> io::Result<Sid> {
    sid_of(process.as_raw_handle())
}

fn sid_of(process: HANDLE) -> io::Result<Sid> {
    with_user_of(process, |user| {
        // SAFETY: `with_user_of` hands out a SID that Windows wrote and that outlives this call.
        let bytes = unsafe { sid_bytes(user) };
        Sid::parse(bytes)
    })?
    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the account has an unknown form"))
}

/// Returns the account of this process as `DOMAIN\name`, or nothing when Windows cannot tell.
pub(super) fn current_user_name() -> Option<String> {
    // SAFETY: the function has no arguments, and what it returns need not be closed.
    let process = unsafe { GetCurrentProcess() };
    with_user_of(process, |user| {
        let mut name = [0; MAX_NAME];
        let mut domain = [0; MAX_NAME];
        let (mut name_len, mut domain_len, mut kind) = (MAX_NAME as u32, MAX_NAME as u32, 0);
        // SAFETY: the SID is one that Windows wrote; both buffers are as long as is said.
        let done = unsafe {
            LookupAccountSidW(
                ptr::null(),
                user,
                name.as_mut_ptr(),
                &raw mut name_len,
                domain.as_mut_ptr(),
                &raw mut domain_len,
                &raw mut kind,
            )
        };
        (done != 0).then(|| format!(r"{}\{}", from_wide(&domain), from_wide(&name)))
    })
    .ok()
    .flatten()
}

fn open_token(process: HANDLE, access: u32) -> io::Result<OwnedHandle> {
    let mut token = ptr::null_mut();
    // SAFETY: the process is open or this one, and the place of the token is ours.
    let done = unsafe { OpenProcessToken(process, access, &raw mut token) };
    check(done)?;
    // SAFETY: the token was just opened, and nobody else closes it.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// Hands out the SID of a process's account, which is valid during the call only.
fn with_user_of<T>(process: HANDLE, read: impl FnOnce(PSID) -> T) -> io::Result<T> {
    let token = open_token(process, TOKEN_QUERY)?;
    let mut buffer = [0_u64; USER_WORDS];
    let mut written = 0;
    // SAFETY: the token is open; the buffer is aligned for `TOKEN_USER` and of the size that is given.
    let done = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            buffer.as_mut_ptr().cast(),
            size_of_val(&buffer) as u32,
            &raw mut written,
        )
    };
    check(done)?;
    // SAFETY: Windows has just written a whole `TOKEN_USER` here; its SID lies behind it in the same buffer.
    let user = unsafe { buffer.as_ptr().cast::<TOKEN_USER>().read() };
    Ok(read(user.User.Sid))
}

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the memory came from a function whose result is freed this way, and is freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// Views a SID as bytes; a null pointer as none.
///
/// # Safety
/// `sid` is null or a valid SID that lives as long as the result is used.
unsafe fn sid_bytes<'a>(sid: PSID) -> &'a [u8] {
    if sid.is_null() {
        return &[];
    }
    // SAFETY: the caller vouches for the SID.
    let length = unsafe { GetLengthSid(sid) };
    // SAFETY: this is the length of that very SID.
    unsafe { slice::from_raw_parts(sid.cast(), length as usize) }
}

fn check(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
