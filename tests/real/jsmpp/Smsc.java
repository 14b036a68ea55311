import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Date;
import java.util.Map;
import java.util.concurrent.BlockingDeque;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;

import org.jsmpp.InvalidResponseException;
import org.jsmpp.PDUException;
import org.jsmpp.PDUStringException;
import org.jsmpp.SMPPConstant;
import org.jsmpp.bean.*;
import org.jsmpp.extra.NegativeResponseException;
import org.jsmpp.extra.ProcessRequestException;
import org.jsmpp.extra.ResponseTimeoutException;
import org.jsmpp.session.*;
import org.jsmpp.session.connection.ServerConnection;
import org.jsmpp.session.connection.ServerConnectionFactory;
import org.jsmpp.session.connection.socket.ServerSocketConnection;
import org.jsmpp.util.DeliveryReceiptState;
import org.jsmpp.util.MessageId;

/**
 * A message centre on jsmpp: accepts every message of every login, delivers it at once, and sends the receipt that was asked
 * for. {@code java … Smsc PORT LOG ACKNOWLEDGED}; listens on loopback. The last is a file with the id of each receipt that
 * was acknowledged.
 *
 * <p>Must stay true: the line of a message is in the log before its answer leaves; a receipt that was not acknowledged is
 * sent again, over this bind or the next one of the same login.
 */
public final class Smsc implements ServerMessageReceiverListener, ServerResponseDeliveryListener {
    /** Requests of one session that wait to be looked at; more than any window. */
    private static final int REQUESTS_MAX = 10_000;
    /** Receipts of one session that wait for their acknowledgement. */
    private static final int RECEIPTS_MAX = 16;
    private static final int SESSION_THREADS = 4;
    private static final long BIND_LIMIT_MS = 10_000;
    private static final long RECEIPT_LIMIT_MS = 10_000;
    /** After a receipt that was refused. */
    private static final long AGAIN_MS = 500;

    private final OutputStream log;
    private final OutputStream acknowledged;
    private final AtomicLong nextId = new AtomicLong(unixMicros());
    private final AtomicLong nextConnection = new AtomicLong(1);
    private final Map<SMPPServerSession, Login> logins = new ConcurrentHashMap<>();
    private final Map<String, BlockingDeque<Receipt>> waiting = new ConcurrentHashMap<>();
    private final Map<String, Receipt> unanswered = new ConcurrentHashMap<>();

    private record Login(long connection, BlockingDeque<Receipt> receipts) {}

    private record Receipt(String id, String sender, String number, Date submitted) {}

    private record Part(int part, int parts, byte[] text) {}

    private Smsc(OutputStream log, OutputStream acknowledged) {
        this.log = log;
        this.acknowledged = acknowledged;
    }

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(arguments[0]);
        Smsc smsc = new Smsc(new FileOutputStream(arguments[1], true), new FileOutputStream(arguments[2], true));
        try (var listener = new SMPPServerSessionListener(port, new Loopback())) {
            listener.setPduProcessorDegree(SESSION_THREADS);
            listener.setQueueCapacity(REQUESTS_MAX);
            listener.setMessageReceiverListener(smsc);
            listener.setResponseDeliveryListener(smsc);
            while (true) {
                SMPPServerSession session = listener.accept();
                thread("session", () -> smsc.serve(session));
            }
        }
    }

    private void serve(SMPPServerSession session) {
        try {
            session.setTransactionTimer(RECEIPT_LIMIT_MS);
            BindRequest bind = session.waitForBind(BIND_LIMIT_MS);
            BlockingDeque<Receipt> receipts =
                    waiting.computeIfAbsent(bind.getSystemId(), name -> new LinkedBlockingDeque<>());
            logins.put(session, new Login(nextConnection.getAndIncrement(), receipts));
            bind.accept("jsmpp");
            if (bind.getBindType().isReceivable()) {
                for (int count = 0; count < RECEIPTS_MAX; count++) {
                    thread("receipts", () -> deliver(session, receipts));
                }
            }
        } catch (TimeoutException | PDUStringException | IOException error) {
            System.err.println("a bind failed: " + error);
            session.close();
        }
    }

    @Override
    public SubmitSmResult onAcceptSubmitSm(SubmitSm message, SMPPServerSession session) throws ProcessRequestException {
        Login login = logins.get(session);
        String id = Long.toHexString(nextId.getAndIncrement());
        Part part = part(message);
        String line = String.format("%d\t%d\t%s\t%d/%d\t%016x\t%s\n", unixMicros(), login.connection(),
                message.getDestAddress(), part.part(), part.parts(), hash(part.text()), id);
        try {
            write(log, line);
            byte asked = message.getRegisteredDelivery();
            if (SMSCDeliveryReceipt.SUCCESS_FAILURE.containedIn(asked) || SMSCDeliveryReceipt.SUCCESS.containedIn(asked)) {
                unanswered.put(id, new Receipt(id, message.getSourceAddr(), message.getDestAddress(), new Date()));
            }
            return new SubmitSmResult(new MessageId(id), new OptionalParameter[0]);
        } catch (IOException | PDUStringException error) {
            throw new ProcessRequestException("the log cannot be written", SMPPConstant.STAT_ESME_RSYSERR, error);
        }
    }

    /** A receipt follows its answer. */
    @Override
    public void onSubmitSmRespSent(SubmitSmResult result, SMPPServerSession session) {
        Receipt receipt = unanswered.remove(result.getMessageId());
        if (receipt != null) {
            logins.get(session).receipts().add(receipt);
        }
    }

    /** The message was accepted, whether the other side heard of it or not. */
    @Override
    public void onSubmitSmRespError(SubmitSmResult result, Exception error, SMPPServerSession session) {
        onSubmitSmRespSent(result, session);
    }

    private void deliver(SMPPServerSession session, BlockingDeque<Receipt> receipts) {
        while (session.getSessionState().isReceivable()) {
            Receipt receipt = null;
            try {
                receipt = receipts.poll(AGAIN_MS, TimeUnit.MILLISECONDS);
                if (receipt != null) {
                    deliver(session, receipt);
                    write(acknowledged, receipt.id() + "\n");
                }
            } catch (NegativeResponseException refused) {
                receipts.addFirst(receipt);
                pause();
            } catch (PDUException | ResponseTimeoutException | InvalidResponseException | IOException error) {
                receipts.addFirst(receipt);
                session.close();
            } catch (InterruptedException end) {
                return;
            }
        }
    }

    private static void deliver(SMPPServerSession session, Receipt receipt) throws PDUException,
            ResponseTimeoutException, InvalidResponseException, NegativeResponseException, IOException {
        var text = new DeliveryReceipt(receipt.id(), 1, 1, receipt.submitted(), new Date(),
                DeliveryReceiptState.DELIVRD, "000", "");
        session.deliverShortMessage("", TypeOfNumber.INTERNATIONAL, NumberingPlanIndicator.ISDN, receipt.number(),
                TypeOfNumber.ALPHANUMERIC, NumberingPlanIndicator.UNKNOWN, receipt.sender(),
                new ESMClass(MessageMode.DEFAULT, MessageType.SMSC_DEL_RECEIPT, GSMSpecificFeature.DEFAULT),
                (byte) 0, (byte) 0, new RegisteredDelivery(0), DataCodings.ZERO,
                text.toString().getBytes(StandardCharsets.US_ASCII),
                new OptionalParameter.Message_state(MessageState.DELIVERED.value()),
                new OptionalParameter.Receipted_message_id(receipt.id()));
    }

    /** Which part of which text this is: by its header, else by its optional parameters, else the only one. */
    private static Part part(SubmitSm message) {
        byte[] octets = message.getShortMessage();
        var payload = message.getOptionalParameter(OptionalParameter.Message_payload.class);
        if (octets.length == 0 && payload != null) {
            octets = payload.getValue();
        }
        int part = 1;
        int parts = 1;
        int text = 0;
        if (message.isUdhi() && octets.length > 0) {
            text = Math.min((octets[0] & 0xFF) + 1, octets.length);
            for (int at = 1; at + 1 < text; at += 2 + (octets[at + 1] & 0xFF)) {
                int end = at + 2 + (octets[at + 1] & 0xFF);
                if ((octets[at] == 0 || octets[at] == 8) && end <= text) {
                    parts = octets[end - 2] & 0xFF;
                    part = octets[end - 1] & 0xFF;
                }
            }
        }
        var total = message.getOptionalParameter(OptionalParameter.Sar_total_segments.class);
        var number = message.getOptionalParameter(OptionalParameter.Sar_segment_seqnum.class);
        if (total != null && number != null) {
            parts = total.getValue() & 0xFF;
            part = number.getValue() & 0xFF;
        }
        return new Part(part, parts, java.util.Arrays.copyOfRange(octets, text, octets.length));
    }

    /** 64-bit FNV-1a, as in the log of Loa's own simulator. */
    private static long hash(byte[] octets) {
        long hash = 0xCBF2_9CE4_8422_2325L;
        for (byte octet : octets) {
            hash = (hash ^ (octet & 0xFF)) * 0x0000_0100_0000_01B3L;
        }
        return hash;
    }

    private static long unixMicros() {
        return ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    }

    private static void write(OutputStream file, String line) throws IOException {
        synchronized (file) {
            file.write(line.getBytes(StandardCharsets.US_ASCII));
        }
    }

    private static void thread(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
    }

    private static void pause() {
        try {
            Thread.sleep(AGAIN_MS);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    private static ProcessRequestException unknown() {
        return new ProcessRequestException("not served", SMPPConstant.STAT_ESME_RINVCMDID);
    }

    @Override
    public SubmitMultiResult onAcceptSubmitMulti(SubmitMulti message, SMPPServerSession session)
            throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public QuerySmResult onAcceptQuerySm(QuerySm query, SMPPServerSession session) throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public void onAcceptReplaceSm(ReplaceSm message, SMPPServerSession session) throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public void onAcceptCancelSm(CancelSm message, SMPPServerSession session) throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public BroadcastSmResult onAcceptBroadcastSm(BroadcastSm message, SMPPServerSession session)
            throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public void onAcceptCancelBroadcastSm(CancelBroadcastSm message, SMPPServerSession session)
            throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public QueryBroadcastSmResult onAcceptQueryBroadcastSm(QueryBroadcastSm query, SMPPServerSession session)
            throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public DataSmResult onAcceptDataSm(DataSm message, Session session) throws ProcessRequestException {
        throw unknown();
    }

    @Override
    public void onSubmitMultiRespSent(SubmitMultiResult result, SMPPServerSession session) {}

    @Override
    public void onSubmitMultiRespError(SubmitMultiResult result, Exception error, SMPPServerSession session) {}

    /** Listens on loopback alone. */
    private static final class Loopback implements ServerConnectionFactory {
        private static final int BACKLOG = 50;

        @Override
        public ServerConnection listen(int port) throws IOException {
            return listen(port, 0, BACKLOG);
        }

        @Override
        public ServerConnection listen(int port, int timeout) throws IOException {
            return listen(port, timeout, BACKLOG);
        }

        @Override
        public ServerConnection listen(int port, int timeout, int backlog) throws IOException {
            ServerSocket socket = new ServerSocket();
            socket.setReuseAddress(true);
            socket.setSoTimeout(timeout);
            socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), backlog);
            return new ServerSocketConnection(socket);
        }
    }
}
