package import NIOCore

/// What the client sends: decoded, paid for, and handed to the session, a part in each turn.
extension WebSocketConnection {
    /// A longer burst of small frames would keep all others of the loop waiting.
    private static let eventsInATurn = 128

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        keepAlive.heard()
        var bytes = Self.unwrapInboundIn(data)
        // Only the end of the input can come while something waits.
        rest?.writeBuffer(&bytes)
        if rest == nil { handle(bytes, atMost: Self.eventsInATurn) }
    }

    /// Handles so many events; those that come after them wait until the loop has seen to everybody else.
    private func handle(_ input: ByteBuffer, atMost limit: Int) {
        var bytes = input
        var left = limit
        while left > 0, let event = decoder.next(&bytes) {
            handle(event)
            left -= 1
        }
        decoder.letGo()
        let cost = decoder.takeCost()
        if let pause = budget.spend(cost.frames, bytes: cost.bytes, at: eventLoop.now) { pace(pause) }
        guard left == 0, bytes.readableBytes > 0 else { return }
        rest = bytes
        setAutoRead(false)
        goOnLater()
    }

    private func goOnLater() {
        guard !isGoingOn else { return }
        isGoingOn = true
        eventLoop.assumeIsolated().execute {
            self.isGoingOn = false
            self.goOn()
        }
    }

    /// Of a connection that closes the end has to be read whatever else holds.
    private var mayBeHeard: Bool { machine.state != .open || (isWritable && !isPaced) }

    /// Handles what waits, if the client may be heard.
    private func goOn() {
        guard let bytes = rest, mayBeHeard else { return }
        rest = nil
        isReading = true
        handle(bytes, atMost: Self.eventsInATurn)
        finishReading()
        if rest == nil, mayBeHeard { setAutoRead(true) }
    }

    /// Nothing more will come: what waits is all there is.
    func handleRest() {
        guard let bytes = rest else { return }
        rest = nil
        isReading = true
        handle(bytes, atMost: .max)
        finishReading()
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
