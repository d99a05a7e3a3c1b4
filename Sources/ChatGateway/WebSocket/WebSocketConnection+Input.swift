package import NIOCore

/// What the client sends: decoded, paid for, and handed to the session. Who sends little is heard at once; who sends
/// much shares a slice of the loop's time with all others who do (``LoopTurns``).
extension WebSocketConnection {
    /// Bytes of one read that are heard whatever others send.
    private static let littleBytes = 2048
    /// Frames that are heard at a time.
    private static let eventsInATurn = 64

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        keepAlive.heard()
        var bytes = Self.unwrapInboundIn(data)
        if rest != nil {
            // Only the end of the input can come while something waits.
            rest?.writeBuffer(&bytes)
        } else if bytes.readableBytes <= Self.littleBytes {
            handle(bytes)
        } else if wheel.talkers.begin() {
            handle(bytes)
            wheel.talkers.end()
        } else {
            wait(with: bytes)
        }
    }

    /// Handles some events; those that come after them wait.
    private func handle(_ input: ByteBuffer) {
        var bytes = input
        var left = Self.eventsInATurn
        while left > 0, let event = decoder.next(&bytes) {
            handle(event)
            left -= 1
        }
        decoder.letGo()
        let cost = decoder.takeCost()
        if let pause = budget.spend(cost.frames, bytes: cost.bytes, at: eventLoop.now) { pace(pause) }
        if left == 0, bytes.readableBytes > 0 { wait(with: bytes) }
    }

    private func wait(with bytes: ByteBuffer) {
        rest = bytes
        setAutoRead(false)
        goOnLater()
    }

    private func goOnLater() {
        guard !isGoingOn, mayBeHeard else { return }
        isGoingOn = true
        wheel.talkers.wait(self, address: peerAddress)
    }

    /// Of a connection that closes the end has to be read whatever else holds.
    private var mayBeHeard: Bool { machine.state != .open || hasInputEnded || (isWritable && !isPaced) }

    /// Its turn has come: handles what waits, if the client may be heard.
    func goOn() {
        isGoingOn = false
        guard let bytes = rest, mayBeHeard else { return }
        rest = nil
        isReading = true
        handle(bytes)
        finishReading()
        guard rest == nil else { return }
        if hasInputEnded {
            run(machine.receivedEndOfInput())
        } else if mayBeHeard {
            setAutoRead(true)
        }
    }

    /// Nothing more will come. What waits is heard first.
    func endInput() {
        hasInputEnded = true
        if rest == nil { run(machine.receivedEndOfInput()) } else { goOnLater() }
    }

    private func pace(_ pause: TimeAmount) {
        // While a connection closes the end has to be read; a wait that is under way goes on after what it did not see.
        guard machine.state == .open, !isPaced else { return }
        isPaced = true
        session?.paced()
        setAutoRead(false)
        eventLoop.assumeIsolated().scheduleTask(in: pause) { [weak self] in self?.paid() }
    }

    private func paid() {
        guard isPaced, machine.state == .open else { return }
        isPaced = false
        if let pause = budget.spend(0, at: eventLoop.now) { return pace(pause) }
        if isWritable { readOn() }
    }

    private func handle(_ event: FrameEvent) {
        switch event {
        case .close(let code, _):
            run(machine.receivedClose(code: code))
        case .failure(let code, let reason):
            run(machine.receivedFault(code, reason: reason))
        case .text(let text):
            if machine.state == .open { session?.received(text) }
        case .binary(let bytes):
            if machine.state == .open { session?.receivedBinary(bytes) }
        case .ping(let payload):
            if machine.state == .open { pong(payload) }
        case .pong:
            break
        }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        finishReading()
    }

    private func finishReading() {
        guard isReading else { return }
        if machine.state == .open { session?.receivedAllForNow() }
        isReading = false
        flush()
    }

    /// First what waits, if something does.
    func readOn() {
        if rest == nil { setAutoRead(true) } else { goOnLater() }
    }

    func setAutoRead(_ isOn: Bool) {
        // Fails only on a channel that is closed.
        try? context?.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }
}
