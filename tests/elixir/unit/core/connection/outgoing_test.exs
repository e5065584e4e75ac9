defmodule Vllm.Core.Connection.OutgoingTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Connection.{Outgoing, State}

  test "a worker that does not read is given up, with what is wrong" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)

    # As Socket's options have it, in less time.
    options = [:binary, active: false, send_timeout: 10, send_timeout_close: true]
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, options)
    state = %State{instance: {__MODULE__, node()}, socket: {:gen_tcp, socket}}

    assert {:error, %Error{kind: :worker_down} = error, ^state} = fill(state)
    assert error.message =~ "has read nothing for 15000 ms: it is stopped, hangs"
    # What is sent at the end of the session waits no more.
    assert {:error, %Error{kind: :worker_down}, ^state} = Outgoing.transmit(state, "x")
    :gen_tcp.close(listener)
  end

  test "what is empty is not sent" do
    state = %State{instance: {__MODULE__, node()}}
    assert Outgoing.transmit(state, []) == {:ok, state}
  end

  # More than both ends' buffers take.
  defp fill(state) do
    with {:ok, state} <- Outgoing.transmit(state, :binary.copy("x", 1_000_000)), do: fill(state)
  end
end
