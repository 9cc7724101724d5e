# Reads an array of objects, groups, rebuilds and writes it.
group_by(.kind)
| map({
    kind: .[0].kind,
    total: (map(.size) | add),
    names: (map(.name | ascii_upcase) | sort | unique | join(",")),
    parts: (map(.tags[]) | group_by(.) | map({key: .[0], value: length}) | from_entries)
  })
| sort_by(.total)
| .[] | tojson | length
