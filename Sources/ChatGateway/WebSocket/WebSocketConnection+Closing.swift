import ChatProtocol
import NIOCore

/// How a connection ends: by the session, by the client, for its silence, or because it is lost.
extension WebSocketConnection {
    func run(_ action: StateMachine.Action) {
        switch action {
        case .none:
            break
        case .sayClose(let code, let reason):
            write(ControlFrame.close(code.rawValue, reason: reason))
            flushNow()
            awaitPeer()
        case .answerClose(let code):
            write(ControlFrame.close(code, reason: ""))
            shutDown()
        case .sayCloseAndShutDown(let code, let reason):
            write(ControlFrame.close(code.rawValue, reason: reason))
            shutDown()
        case .shutDown:
            shutDown()
        case .cut:
            context?.close(promise: nil)
        }
        reportEnd()
    }

    /// The peer's answer, or the end of its input, has to be read although output may be stuck.
    private func awaitPeer() {
        owedPong = nil
        // The flush before may have found TCP gone.
        guard context != nil, machine.state != .closed else { return }
        wheel.setDeadline(of: self, in: limits.closeTimeout)
        isPaced = false
        readOn()
    }

    private func shutDown() {
        flushNow()
        awaitPeer()
        context?.close(mode: .output, promise: nil)
    }

    /// Deferred, so that a session never hears of its end in the middle of a call of its own.
    func reportEnd() {
        guard let ending = machine.ending, !hasReportedEnd else { return }
        hasReportedEnd = true
        eventLoop.assumeIsolated().execute {
            let session = self.session
            self.session = nil
            session?.closed(ending)
        }
    }
}

extension WebSocketConnection: WheelPassenger {
    func beat() {
        // While nothing is read silence proves nothing; where output is stuck the stall's deadline judges.
        guard machine.state == .open, isWritable, !isPaced else { return }
        switch keepAlive.beat() {
        case .ping:
            send(frames: ControlFrame.emptyPing)
            flush()
        case .giveUp:
            close(.goingAway, reason: "no sign of life for two heartbeats")
        }
    }

    func deadlinePassed() {
        if machine.state == .open {
            close(.overloaded, reason: "nothing was read for too long")
        } else {
            run(machine.closeTimedOut())
        }
    }
}
