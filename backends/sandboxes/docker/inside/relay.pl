# The container's end of the relay, where it has Perl and neither Python nor Node: see relay.py, whose frames and rules
# these are. Only modules that come with every Perl.
use strict;
use warnings;
use Socket;
use Fcntl;
use Errno qw(EAGAIN EWOULDBLOCK EINTR);

use constant { READY => 1, OPEN => 2, DATA => 3, END => 4, RESET => 5, CREDIT => 6, FAILED => 7 };
use constant { WINDOW => 262144, PIECE => 32768, MOST => 512, BACKLOG => 1048576 };
$SIG{PIPE} = 'IGNORE';

my ($listener, $problem);
for my $wanted ($ARGV[0], 0) {
    socket($listener, PF_INET, SOCK_STREAM, 0) or die $!;
    setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, pack('l', 1));
    if (bind($listener, sockaddr_in($wanted, INADDR_LOOPBACK)) && listen($listener, 128)) { undef $problem; last }
    $problem = "$!";
    close $listener;
}
if (defined $problem) {
    syswrite STDOUT, pack('CNn', FAILED, 0, length $problem) . $problem;
    exit;
}

my (%streams, $count, $inbox, $outbox);
($count, $inbox, $outbox) = (0, '', '');

sub unblock {
    my ($handle) = @_;
    fcntl($handle, F_SETFL, fcntl($handle, F_GETFL, 0) | O_NONBLOCK);
}

sub again { return $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR }

sub flush_out {
    while (length $outbox) {
        my $sent = syswrite STDOUT, $outbox, 65536;
        if (!defined $sent) { again() ? return : exit }
        substr($outbox, 0, $sent, '');
    }
}

sub say_frame {
    my ($kind, $number, $data) = @_;
    $data = '' unless defined $data;
    $outbox .= pack('CNn', $kind, $number, length $data) . $data;
    flush_out();
}

sub drop {
    my ($stream, $gently) = @_;
    delete $streams{$stream->{number}} or return;
    setsockopt($stream->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) unless $gently;
    close $stream->{sock};
}

sub broke {
    my ($stream) = @_;
    say_frame(RESET, $stream->{number});
    drop($stream, 0);
}

sub settle {
    my ($stream) = @_;
    drop($stream, 1) if $stream->{said_all} && $stream->{heard_all} && !length $stream->{out};
}

sub write_out {
    my ($stream) = @_;
    while (length $stream->{out}) {
        my $sent = syswrite $stream->{sock}, $stream->{out}, 65536;
        if (!defined $sent) {
            return if again();
            return broke($stream);
        }
        substr($stream->{out}, 0, $sent, '');
        say_frame(CREDIT, $stream->{number}, pack('N', $sent));
    }
    shutdown($stream->{sock}, 1) if $stream->{heard_all};
    settle($stream);
}

sub take {
    my ($kind, $number, $data) = @_;
    my $stream = $streams{$number} or return;
    if ($kind == DATA) { $stream->{out} .= $data; write_out($stream) }
    elsif ($kind == END) { $stream->{heard_all} = 1; write_out($stream) }
    elsif ($kind == CREDIT) { $stream->{credit} += unpack 'N', $data }
    elsif ($kind == RESET) { drop($stream, 0) }
}

sub hear {
    my $got = sysread STDIN, $inbox, 65536, length $inbox;
    if (!defined $got) { again() ? return : exit }
    exit if $got == 0;
    my $at = 0;
    while (length($inbox) - $at >= 7) {
        my ($kind, $number, $length) = unpack 'CNn', substr($inbox, $at, 7);
        last if length($inbox) - $at < 7 + $length;
        take($kind, $number, substr($inbox, $at + 7, $length));
        $at += 7 + $length;
    }
    substr($inbox, 0, $at, '');
}

sub accept_one {
    my $sock;
    accept($sock, $listener) or return;
    unblock($sock);
    setsockopt($sock, 6, 1, pack('l', 1));    # TCP_NODELAY
    my $number = ++$count;
    $streams{$number} = { number => $number, sock => $sock, credit => WINDOW, out => '', said_all => 0, heard_all => 0 };
    say_frame(OPEN, $number);
}

sub listen_to {
    my ($stream) = @_;
    my $most = $stream->{credit} < PIECE ? $stream->{credit} : PIECE;
    my $got = sysread $stream->{sock}, my $data, $most;
    if (!defined $got) { return again() ? () : broke($stream) }
    if ($got) {
        $stream->{credit} -= $got;
        say_frame(DATA, $stream->{number}, $data);
    }
    else {
        $stream->{said_all} = 1;
        say_frame(END, $stream->{number});
        settle($stream);
    }
}

unblock($_) for $listener, \*STDIN, \*STDOUT;
say_frame(READY, (sockaddr_in(getsockname $listener))[0], 'perl');
while (1) {
    my ($reads, $writes) = ('', '');
    vec($reads, fileno STDIN, 1) = 1;
    vec($reads, fileno $listener, 1) = 1 if keys %streams < MOST;
    vec($writes, fileno STDOUT, 1) = 1 if length $outbox;
    my $full = length($outbox) > BACKLOG;
    for my $stream (values %streams) {
        vec($reads, fileno $stream->{sock}, 1) = 1 if !$stream->{said_all} && $stream->{credit} > 0 && !$full;
        vec($writes, fileno $stream->{sock}, 1) = 1 if length $stream->{out};
    }
    select($reads, $writes, undef, undef) > 0 or next;
    flush_out() if vec($writes, fileno STDOUT, 1);
    # Which are ready is told by descriptor: what was closed meanwhile must not be taken for what came in its place.
    my @ready = map { [$_, vec($reads, fileno $_->{sock}, 1), vec($writes, fileno $_->{sock}, 1)] } values %streams;
    hear() if vec($reads, fileno STDIN, 1);
    for my $one (@ready) {
        my ($stream, $read, $write) = @$one;
        write_out($stream) if $write && $streams{$stream->{number}};
        listen_to($stream) if $read && $streams{$stream->{number}} && !$stream->{said_all} && $stream->{credit} > 0;
    }
    accept_one() if vec($reads, fileno $listener, 1);
}
