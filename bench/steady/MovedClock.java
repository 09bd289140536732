package longcase;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import org.apache.cassandra.utils.Clock;

/**
 * A clock for Cassandra (-Dcassandra.clock) that is ahead of the host's by what the file longcase.clock.file says: eight
 * bytes, milliseconds. Timeouts go by nanoTime, which is as it is.
 */
public final class MovedClock implements Clock {
    private static final MappedByteBuffer AHEAD = map(System.getProperty("longcase.clock.file"));

    /** Being an agent puts the class where Cassandra finds it. */
    public static void premain(String arguments) {}

    private static MappedByteBuffer map(String file) {
        try (RandomAccessFile f = new RandomAccessFile(file, "r")) {
            return f.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, 8);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Override
    public long nanoTime() {
        return System.nanoTime();
    }

    @Override
    public long currentTimeMillis() {
        return System.currentTimeMillis() + AHEAD.getLong(0);
    }
}
