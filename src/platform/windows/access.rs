//! Who may do what to a file, judged by the bytes of its security descriptor ([MS-DTYP] 2.4.2 SID, 2.4.4 ACE, 2.4.5 ACL).
//!
//! Nothing here calls Windows, so the rules are tested on every system.

use std::fmt;

/// An account or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sid {
    authority: u64,
    parts: Vec<u32>,
}

/// The owner of a file, and its list of who may do what.
#[derive(Clone, Debug)]
pub(super) struct Access {
    owner: Sid,
    /// `None`: there is no list, and everybody may do everything.
    grants: Option<Vec<Grant>>,
}

/// One entry that allows something. Entries that deny only take away, so they are not kept.
#[derive(Clone, Debug)]
struct Grant {
    sid: Sid,
    rights: u32,
    /// The entry is handed on to new files below and does not count for the directory itself.
    inherit_only: bool,
}

const SYSTEM: (u64, &[u32]) = (5, &[18]);
const ADMINISTRATORS: (u64, &[u32]) = (5, &[32, 544]);
/// Owns what Windows itself installed, the root of the system drive among it.
const TRUSTED_INSTALLER: (u64, &[u32]) = (5, &[80, 956008885, 3418522649, 1831038044, 1853292631, 2271478464]);
/// Stand for the owner, who is judged by himself.
const OWNER: [(u64, &[u32]); 2] = [(3, &[0]), (3, &[4])];

/// Names of groups that people meet in wrong lists. Windows translates them, so they are never asked for.
const NAMES: [(&str, u64, &[u32]); 8] = [
    ("Everyone", 1, &[0]),
    ("Anonymous", 5, &[7]),
    ("Authenticated Users", 5, &[11]),
    ("SYSTEM", 5, &[18]),
    ("Local Service", 5, &[19]),
    ("Network Service", 5, &[20]),
    ("Administrators", 5, &[32, 544]),
    ("Users", 5, &[32, 545]),
];

/// Rights over a directory with which what lies below can be replaced: delete or rename it, delete or rename its children,
/// change its list, take it over, everything. Creating files beside is not among them: `C:\ProgramData` allows it to users.
const REPLACE: u32 = 0x0001_0000 | 0x0000_0040 | 0x0004_0000 | 0x0008_0000 | 0x1000_0000;

/// Rights to write a file, or to create files or directories in a directory.
const WRITE: u32 = 0x0000_0002 | 0x0000_0004 | 0x4000_0000;

const INHERIT_ONLY: u8 = 0x08;

impl Sid {
    /// Reads a SID from its bytes; bytes behind it are left alone.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<8>()?;
        let [1, count, authority @ ..] = *header else { return None };
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(&authority);
        let parts = rest.get(..usize::from(count) * 4)?;
        Some(Self { authority: u64::from_be_bytes(wide), parts: parts.chunks_exact(4).filter_map(read_u32).collect() })
    }

    /// Returns whether this is LocalSystem.
    pub(super) fn is_system(&self) -> bool {
        self.is(SYSTEM)
    }

    fn is(&self, (authority, parts): (u64, &[u32])) -> bool {
        self.authority == authority && self.parts == parts
    }
}

impl fmt::Display for Sid {
    /// Writes `S-1-5-32-545`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-1-{}", self.authority)?;
        self.parts.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

impl Access {
    /// Reads the owner and the list, a whole ACL as Windows keeps it.
    ///
    /// # Errors
    /// What is wrong with the bytes. An entry of an unknown kind is an error: it might let somebody in.
    pub(super) fn parse(owner: &[u8], list: Option<&[u8]>) -> Result<Self, &'static str> {
        let owner = Sid::parse(owner).ok_or("its owner has an unknown form")?;
        let grants = list.map(parse_list).transpose()?;
        Ok(Self { owner, grants })
    }

    /// Checks a file or directory that is nobody's business but this program's: owned by SYSTEM, Administrators or `me`, and
    /// open to nobody else.
    ///
    /// # Errors
    /// The reason; it completes the sentence "`PATH` ...".
    pub(super) fn check_private(&self, me: &Sid) -> Result<(), String> {
        let trusted = |sid: &Sid| sid.is(SYSTEM) || sid.is(ADMINISTRATORS) || sid == me;
        if !trusted(&self.owner) {
            return Err(format!("belongs to {}, must belong to Administrators or {}", named(&self.owner), named(me)));
        }
        let Some(grants) = &self.grants else {
            return Err("has no access control list, so it is open to everybody".to_owned());
        };
        match grants.iter().find(|grant| !trusted(&grant.sid) && !is_owner(&grant.sid) && grant.rights != 0) {
            Some(grant) => Err(format!(
                "is open to {}, must be open to SYSTEM, Administrators and {} only",
                named(&grant.sid),
                named(me)
            )),
            None => Ok(()),
        }
    }

    /// Checks a file, or a directory of programs: others may read it, but neither write nor replace it. In a directory above
    /// (`is_above`) they may create files and directories, as they may on every Windows.
    ///
    /// # Errors
    /// The reason; it completes the sentence "`PATH` ...".
    pub(super) fn check_unwritable(&self, me: &Sid, is_above: bool) -> Result<(), String> {
        let trusted = |sid: &Sid| sid.is(SYSTEM) || sid.is(ADMINISTRATORS) || sid.is(TRUSTED_INSTALLER) || sid == me;
        if !trusted(&self.owner) {
            return Err(format!("belongs to {}", named(&self.owner)));
        }
        let Some(grants) = &self.grants else { return Err("has no access control list".to_owned()) };
        let rights = if is_above { REPLACE } else { REPLACE | WRITE };
        let writes = |grant: &&Grant| {
            grant.rights & rights != 0 && !grant.inherit_only && !trusted(&grant.sid) && !is_owner(&grant.sid)
        };
        match grants.iter().find(writes) {
            Some(grant) => Err(format!("may be changed by {}", named(&grant.sid))),
            None => Ok(()),
        }
    }

    /// Checks a directory above: others may read it and create files in it, but not replace it or what it holds.
    ///
    /// # Errors
    /// Who could; it completes the sentence "lies below `PATH`, which ...".
    pub(super) fn check_parent(&self, me: &Sid) -> Result<(), String> {
        let trusted = |sid: &Sid| sid.is(SYSTEM) || sid.is(ADMINISTRATORS) || sid.is(TRUSTED_INSTALLER) || sid == me;
        if !trusted(&self.owner) {
            return Err(format!("belongs to {}", named(&self.owner)));
        }
        let Some(grants) = &self.grants else { return Err("has no access control list".to_owned()) };
        let replaces = |grant: &&Grant| {
            grant.rights & REPLACE != 0 && !grant.inherit_only && !trusted(&grant.sid) && !is_owner(&grant.sid)
        };
        match grants.iter().find(replaces) {
            Some(grant) => Err(format!("{} may rename or replace", named(&grant.sid))),
            None => Ok(()),
        }
    }
}

fn parse_list(list: &[u8]) -> Result<Vec<Grant>, &'static str> {
    const CUT: &str = "its access control list is cut off";
    // Revision, padding, size, count of entries, padding. The revision tells only which kinds of entries may occur.
    let count =
        list.get(4..6).and_then(|bytes| bytes.first_chunk()).map(|count| u16::from_le_bytes(*count)).ok_or(CUT)?;
    let mut rest = list.get(8..).ok_or(CUT)?;
    let mut grants = Vec::new();
    for _ in 0..count {
        let &[kind, flags, low, high] = rest.first_chunk().ok_or(CUT)?;
        let size = usize::from(u16::from_le_bytes([low, high]));
        let body = rest.get(4..size).ok_or(CUT)?;
        match kind {
            // Allowed, and allowed under a condition, which is taken as met.
            0 | 9 => grants.push(Grant {
                rights: read_u32(body).ok_or(CUT)?,
                sid: body.get(4..).and_then(Sid::parse).ok_or(CUT)?,
                inherit_only: flags & INHERIT_ONLY != 0,
            }),
            // Denied, in its four forms.
            1 | 6 | 10 | 12 => {}
            _ => return Err("its access control list has an entry of an unknown kind"),
        }
        rest = &rest[size..];
    }
    Ok(grants)
}

fn read_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn is_owner(sid: &Sid) -> bool {
    OWNER.iter().any(|owner| sid.is(*owner))
}

/// Returns a SID with the English name of a well-known group before it.
fn named(sid: &Sid) -> String {
    match NAMES.iter().find(|(_, authority, parts)| sid.is((*authority, parts))) {
        Some((name, ..)) => format!("{name} (`{sid}`)"),
        None => format!("`{sid}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u32 = 0x001f_01ff;
    const READ: u32 = 0x0012_00a9;
    /// What `C:\ProgramData` allows to users: create files and directories, write attributes.
    const CREATE: u32 = 0x0000_0116;
    const MODIFY: u32 = 0x0013_01bf;

    const ME: (u64, &[u32]) = (5, &[21, 1, 2, 3, 1001]);
    const USERS: (u64, &[u32]) = (5, &[32, 545]);
    const AUTHENTICATED: (u64, &[u32]) = (5, &[11]);
    const EVERYONE: (u64, &[u32]) = (1, &[0]);

    fn sid((authority, parts): (u64, &[u32])) -> Vec<u8> {
        let mut bytes = vec![1, u8::try_from(parts.len()).unwrap()];
        bytes.extend_from_slice(&authority.to_be_bytes()[2..]);
        bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
        bytes
    }

    fn entry(kind: u8, flags: u8, rights: u32, who: (u64, &[u32])) -> Vec<u8> {
        let who = sid(who);
        let size = u16::try_from(8 + who.len()).unwrap().to_le_bytes();
        [&[kind, flags], &size[..], &rights.to_le_bytes(), &who].concat()
    }

    fn list(entries: &[Vec<u8>]) -> Vec<u8> {
        let body = entries.concat();
        let size = u16::try_from(8 + body.len()).unwrap().to_le_bytes();
        let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
        [&[2, 0], &size[..], &count, &[0, 0], &body].concat()
    }

    fn access(owner: (u64, &[u32]), entries: &[Vec<u8>]) -> Access {
        Access::parse(&sid(owner), Some(&list(entries))).unwrap()
    }

    fn me() -> Sid {
        Sid::parse(&sid(ME)).unwrap()
    }

    #[test]
    fn only_local_system_is_local_system() {
        let is_system = |account| Sid::parse(&sid(account)).unwrap().is_system();
        assert!(is_system(SYSTEM));
        assert!(![ADMINISTRATORS, ME, USERS, EVERYONE, (1, &[18]), (5, &[18, 18])].into_iter().any(is_system));
    }

    #[test]
    fn sids_are_written_as_windows_writes_them() {
        assert_eq!(Sid::parse(&sid(ADMINISTRATORS)).unwrap().to_string(), "S-1-5-32-544");
        assert_eq!(named(&Sid::parse(&sid(EVERYONE)).unwrap()), "Everyone (`S-1-1-0`)");
        assert_eq!(named(&me()), "`S-1-5-21-1-2-3-1001`");
    }

    #[test]
    fn what_this_program_creates_is_private() {
        for owner in [SYSTEM, ADMINISTRATORS, ME] {
            let entries = [entry(0, 3, FULL, SYSTEM), entry(0, 3, FULL, ADMINISTRATORS), entry(0, 3, FULL, ME)];
            assert_eq!(access(owner, &entries).check_private(&me()), Ok(()));
        }
        assert_eq!(access(SYSTEM, &[]).check_private(&me()), Ok(()), "an empty list lets nobody in");
        let denied = [entry(1, 0, FULL, EVERYONE), entry(0, 0, FULL, SYSTEM)];
        assert_eq!(access(SYSTEM, &denied).check_private(&me()), Ok(()), "an entry that denies lets nobody in");
        let owner = [entry(0, 0x0b, FULL, (3, &[0])), entry(0, 0, READ, (3, &[4]))];
        assert_eq!(access(SYSTEM, &owner).check_private(&me()), Ok(()), "the owner is SYSTEM");
    }

    #[test]
    fn anybody_else_who_is_let_in_is_named() {
        let only = "must be open to SYSTEM, Administrators and `S-1-5-21-1-2-3-1001` only";
        for (rights, flags, who, name) in [
            (READ, 0, USERS, "Users (`S-1-5-32-545`)"),
            (1, 0, EVERYONE, "Everyone (`S-1-1-0`)"),
            (FULL, INHERIT_ONLY, AUTHENTICATED, "Authenticated Users (`S-1-5-11`)"),
            (READ, 0, (5, &[21, 1, 2, 3, 1002][..]), "`S-1-5-21-1-2-3-1002`"),
        ] {
            for kind in [0, 9] {
                let entries = [entry(0, 3, FULL, SYSTEM), entry(kind, flags, rights, who)];
                let error = access(SYSTEM, &entries).check_private(&me()).unwrap_err();
                assert_eq!(error, format!("is open to {name}, {only}"));
            }
        }
    }

    #[test]
    fn a_foreign_owner_or_a_missing_list_is_refused() {
        let entries = [entry(0, 3, FULL, SYSTEM)];
        assert_eq!(
            access(USERS, &entries).check_private(&me()).unwrap_err(),
            "belongs to Users (`S-1-5-32-545`), must belong to Administrators or `S-1-5-21-1-2-3-1001`"
        );
        let open = Access::parse(&sid(SYSTEM), None).unwrap();
        assert_eq!(open.check_private(&me()).unwrap_err(), "has no access control list, so it is open to everybody");
        assert_eq!(open.check_parent(&me()).unwrap_err(), "has no access control list");
        assert!(access(TRUSTED_INSTALLER, &entries).check_private(&me()).is_err());
        assert_eq!(access(TRUSTED_INSTALLER, &entries).check_parent(&me()), Ok(()));
        assert_eq!(access(USERS, &entries).check_parent(&me()).unwrap_err(), "belongs to Users (`S-1-5-32-545`)");
    }

    #[test]
    fn the_usual_lists_above_a_store_are_fine() {
        let program_data = [
            entry(0, 0x0b, FULL, (3, &[0])),
            entry(0, 3, FULL, SYSTEM),
            entry(0, 3, FULL, ADMINISTRATORS),
            entry(0, 2, CREATE, USERS),
            entry(0, 3, READ, USERS),
        ];
        assert_eq!(access(SYSTEM, &program_data).check_parent(&me()), Ok(()));
        let root = [
            entry(0, 0x0b, MODIFY, AUTHENTICATED),
            entry(0, 0, 4, AUTHENTICATED),
            entry(0, 3, FULL, SYSTEM),
            entry(0, 3, FULL, ADMINISTRATORS),
            entry(0, 3, READ, USERS),
        ];
        assert_eq!(access(TRUSTED_INSTALLER, &root).check_parent(&me()), Ok(()));
    }

    #[test]
    fn a_directory_that_others_could_swap_is_refused_above_a_store() {
        // What `C:\k` inherits from the root of the drive.
        let inherited = [entry(0, 0x13, MODIFY, AUTHENTICATED), entry(0, 0x13, FULL, SYSTEM)];
        assert_eq!(
            access(ADMINISTRATORS, &inherited).check_parent(&me()).unwrap_err(),
            "Authenticated Users (`S-1-5-11`) may rename or replace"
        );
        for right in [0x40, 0x0001_0000, 0x0004_0000, 0x0008_0000, 0x1000_0000] {
            assert!(access(SYSTEM, &[entry(0, 0, right, EVERYONE)]).check_parent(&me()).is_err(), "{right:#x}");
        }
    }

    #[test]
    fn a_program_that_others_could_write_is_found() {
        let all = [entry(0, 0, FULL, SYSTEM), entry(0, 0, FULL, ADMINISTRATORS), entry(0, 0, READ, USERS)];
        assert_eq!(access(SYSTEM, &all).check_unwritable(&me(), false), Ok(()));
        let inherited = [entry(0, 0x13, MODIFY, AUTHENTICATED), entry(0, 0x13, FULL, SYSTEM)];
        let who = "may be changed by Authenticated Users (`S-1-5-11`)";
        assert_eq!(access(SYSTEM, &inherited).check_unwritable(&me(), false).unwrap_err(), who);
        // Creating a directory in `C:\\` is everybody's right; replacing one is not.
        let create = [entry(0, 0, 4, AUTHENTICATED)];
        assert_eq!(access(TRUSTED_INSTALLER, &create).check_unwritable(&me(), true), Ok(()));
        assert_eq!(access(TRUSTED_INSTALLER, &create).check_unwritable(&me(), false).unwrap_err(), who);
        assert!(access(TRUSTED_INSTALLER, &inherited).check_unwritable(&me(), true).is_err());
        assert!(access(EVERYONE, &all).check_unwritable(&me(), false).unwrap_err().starts_with("belongs to Everyone"));
    }

    #[test]
    fn bytes_that_are_cut_off_or_unknown_are_errors() {
        let whole = list(&[entry(0, 3, FULL, SYSTEM), entry(0, 3, FULL, ADMINISTRATORS)]);
        for end in 0..whole.len() {
            assert!(Access::parse(&sid(SYSTEM), Some(&whole[..end])).is_err(), "{end}");
        }
        for end in 0..12 {
            assert!(Access::parse(&sid(SYSTEM)[..end], None).is_err(), "{end}");
        }
        // A compound entry, and one for a kind of object that files do not have.
        for kind in [4, 5, 11, 200] {
            assert!(Access::parse(&sid(SYSTEM), Some(&list(&[entry(kind, 0, FULL, SYSTEM)]))).is_err(), "{kind}");
        }
        let mut short = list(&[entry(0, 3, FULL, SYSTEM)]);
        short[10..12].copy_from_slice(&3_u16.to_le_bytes());
        assert!(Access::parse(&sid(SYSTEM), Some(&short)).is_err(), "an entry smaller than its header");
    }
}
