# Makes a CycloneDX 1.5 bill of materials of `cargo metadata`: what is linked into the program, and nothing that only builds or
# tests it. Arguments: $target; $time in RFC 3339; $linked, the lines `NAME vVERSION` of `cargo tree` without procedural macros, since
# `cargo metadata` does not tell them, nor what only the tests turn on. Equal input gives equal bytes.

def purl: "pkg:cargo/\(.name)@\(.version)";
# Old manifests separate alternatives by a slash.
def licence: .license // "NOASSERTION" | gsub(" ?/ ?"; " OR ");
def component($type): {
  type: $type, "bom-ref": purl, name, version, licenses: [{expression: licence}], purl: purl
};

($linked | split("\n") | map({key: ., value: true}) | from_entries) as $is_linked
| .resolve as $resolve
| (.packages | map(select($is_linked["\(.name) v\(.version)"]))) as $packages
| ($packages | map({key: .id, value: purl}) | from_entries) as $purls
| {
    bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
    metadata: {
      timestamp: $time,
      component: ($packages[] | select(.id == $resolve.root) | component("application")),
      properties: [{name: "cargo:target", value: $target}]
    },
    components: ($packages | map(select(.id != $resolve.root) | component("library")) | sort_by(.purl)),
    dependencies: ($resolve.nodes | map(select($purls[.id])
      | {ref: $purls[.id], dependsOn: (.deps | map(select(any(.dep_kinds[]; .kind == null)) | $purls[.pkg] // empty) | unique)})
      | sort_by(.ref))
  }
