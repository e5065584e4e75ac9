defmodule Vllm.Core.Wire.SocketTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Wire.Socket

  @tls %{cacertfile: nil, certfile: nil, keyfile: nil, server_name: nil}

  test "connects over TCP, to a name or an address" do
    for host <- ["localhost", "127.0.0.1"] do
      {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(listener)
      assert {:ok, {:gen_tcp, socket}} = Socket.connect("tcp:#{host}:#{port}", @tls, 5_000)
      assert :inet.getopts(socket, [:nodelay, :active]) == {:ok, nodelay: true, active: false}
    end
  end

  test "reads an IPv6 address in brackets" do
    # Whether or not the machine has IPv6, no one listens at port 1.
    assert {:error, %Error{kind: :worker_down}} = Socket.connect("tcp:[::1]:1", @tls, 5_000)
  end

  test "an address of another form is an error that shows the forms" do
    for address <- [
          "localhost:1",
          "tcp:localhost",
          "http://localhost:1",
          "tls://h",
          "tcp:h:65536",
          ""
        ] do
      assert {:error, %Error{kind: :invalid, message: message}} =
               Socket.connect(address, @tls, 5_000)

      assert message =~
               "#{inspect(address)} is neither unix:PATH nor tcp:HOST:PORT nor tls://HOST:PORT"
    end
  end

  test "a path that is too long for a socket is an error with both lengths" do
    path = "/" <> String.duplicate("x", 150)
    assert {:error, %Error{kind: :invalid} = error} = Socket.connect("unix:" <> path, @tls, 5_000)
    assert error.message =~ ~r/has 151 bytes, a Unix socket takes at most 10[37]/
    assert Socket.check_path("/tmp/s") == :ok
  end

  test "an address without a listener is an error that names it" do
    assert {:error, %Error{kind: :worker_down} = error} =
             Socket.connect("unix:/nowhere/s", @tls, 5_000)

    assert error.message =~ "cannot connect to the worker at unix:/nowhere/s: "
  end
end
