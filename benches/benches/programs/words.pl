# Hashes, regular expressions and strings that grow: a text is made, taken
# apart, counted and put together again.
use strict;
use warnings;

my $seed = 1;
sub draw { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; return ($seed >> 8) % $_[0] }

my @syllables = qw(ba ce di fo gu ha je ki lo mu na pe qi ro su ta ve wi xo yu);
sub word { join "", map { $syllables[draw(20)] } 0 .. draw(4) }

my $text = "";
for my $line (1 .. 6000) {
    $text .= sprintf "%06d %s: %s\n", $line, word(), join " ", map { word() } 0 .. 5 + draw(15);
}

# Every word with the lines it stands in.
my (%count, %lines);
for my $line (split /\n/, $text) {
    my ($number, $key, $rest) = $line =~ /^(\d+) (\w+): (.*)$/ or die "not a line: $line";
    for my $word (split / /, $rest) {
        $count{$word}++;
        push @{ $lines{$word} }, $number;
    }
    $lines{$key} //= [];
}

# Substitution over the whole text, and over each line.
(my $upper = $text) =~ s/\b([a-z])(\w*)/\U$1\E$2/g;
my %by_length;
for my $word (sort keys %count) {
    (my $bare = $word) =~ s/[aeiou]+/-/g;
    push @{ $by_length{ length $bare } }, "$bare=$count{$word}";
}

# A table of rows, sorted by two columns.
my @rows = map { { word => $_, count => $count{$_}, lines => join(",", @{ $lines{$_} }) } } sort keys %count;
@rows = sort { $b->{count} <=> $a->{count} || $a->{word} cmp $b->{word} } @rows;

my $sum = 0;
$sum += length $_->{lines} for @rows;
printf "%d %d %d %s\n", scalar @rows, $sum, length $upper,
    join " ", map { scalar @{ $by_length{$_} } } sort { $a <=> $b } keys %by_length;
