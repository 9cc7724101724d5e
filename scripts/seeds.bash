# Sourced by what runs fuzz targets: which seeds are for which.

# The folder of a target's seeds, in that of all.
seeds_of() {
    case $1 in
    # Their programs are those of heap.
    oom | differential) echo heap ;;
    *) echo "$1" ;;
    esac
}
