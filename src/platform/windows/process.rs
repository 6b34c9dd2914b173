//! Child processes.
#![expect(unsafe_code, reason = "job objects and the inheritance of handles are not in the standard library")]

use std::process::{Child, Command};
use std::ptr;
use std::sync::Once;

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

/// Makes Windows end the child, and the children of the child, when this process ends, however it ends; and keeps them from
/// holding this process's standard input, output and error.
pub fn end_with_parent(_command: &mut Command) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The kubelet's runtime made its ends of the pipes inheritable, and a child inherits all that is.
        for which in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
            // SAFETY: the function only looks up a handle.
            let handle = unsafe { GetStdHandle(which) };
            // SAFETY: for a handle that is none, the function only fails.
            unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) };
        }
        enter_job();
    });
}

/// Ends a child; what it started ends with this process, by the job of [`end_with_parent`].
pub fn end_with_children(child: &mut Child) {
    let _ = child.kill();
}

/// Puts this process into a job that ends with it. Children are born into the job of their parent, so none escapes by being
/// quick.
fn enter_job() {
    // SAFETY: a job needs neither attributes nor a name.
    let job = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
    if job.is_null() {
        return;
    }
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    // SAFETY: the job is open, and the limits have the type and size of their class.
    let limited = unsafe {
        SetInformationJobObject(
            job,
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size_of_val(&limits) as u32,
        )
    };
    if limited == 0 {
        return;
    }
    // SAFETY: the function has no arguments, and what it returns need not be closed.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: both handles are open. The job's is never closed by us: that Windows closes it with this process is its purpose.
    unsafe { AssignProcessToJobObject(job, process) };
}
