defmodule Vllm.Faults.Proxy do
  @moduledoc false
  # What stands between a client and a worker over TCP, and does not do its work: it is slow, or it loses
  # the connection in one of the ways in which connections are lost.
  #
  # Modes, which hold for all connections from now on:
  #
  #   * `:pass`
  #   * `{:throttle, bytes}` a second, each way
  #   * `{:cut, bytes}` both sides are reset when the client has got so many bytes more
  #   * `:swallow` everything is taken and nothing is passed on, as by a host that has lost its memory
  #   * `:stall` nothing is taken any more
  #   * `:half_open` the worker's side stays open and silent, the client's side is closed

  @part 64 * 1024
  @options [:binary, active: false, buffer: @part]

  @doc "Listens before a worker's address. Returns the proxy and the address for clients."
  def start_link("tcp:" <> rest) do
    [host, port] = String.split(rest, ":")
    target = {String.to_charlist(host), String.to_integer(port)}
    {:ok, listener} = :gen_tcp.listen(0, [ip: {127, 0, 0, 1}] ++ @options)
    {:ok, port} = :inet.port(listener)
    mode = :ets.new(__MODULE__, [:public, read_concurrency: true])
    set(mode, :pass)

    pid = spawn_link(fn -> accept(listener, target, mode) end)
    :ok = :gen_tcp.controlling_process(listener, pid)
    {mode, "tcp:127.0.0.1:#{port}"}
  end

  @doc "What is done with all connections from now on."
  def set(mode, {:cut, bytes}) do
    :ets.insert(mode, {:mode, {:cut, :counters.new(1, []), bytes}})
    :ok
  end

  def set(mode, what) do
    :ets.insert(mode, {:mode, what})
    :ok
  end

  defp accept(listener, target, mode) do
    {:ok, client} = :gen_tcp.accept(listener)
    pid = spawn(fn -> connect(client, target, mode) end)
    :ok = :gen_tcp.controlling_process(client, pid)
    send(pid, :go)
    accept(listener, target, mode)
  end

  defp connect(client, {host, port}, mode) do
    receive do: (:go -> :ok)

    case :gen_tcp.connect(host, port, [nodelay: true] ++ @options) do
      {:ok, worker} ->
        up = spawn_link(fn -> pump(client, worker, mode, :up) end)
        down = spawn_link(fn -> pump(worker, client, mode, :down) end)
        Process.flag(:trap_exit, true)
        receive do: ({:EXIT, pid, _reason} when pid in [up, down] -> :ok)

        for socket <- [client, worker], do: :gen_tcp.close(socket)

      {:error, _not_there} ->
        :gen_tcp.close(client)
    end
  end

  # The process ends when the connection has; the other one with it.
  defp pump(from, to, mode, way) do
    case :gen_tcp.recv(from, 0, 50) do
      {:ok, data} -> pass(mode(mode), data, from, to, mode, way)
      {:error, :timeout} -> idle(mode(mode), from, to, mode, way)
      {:error, _closed} -> :ok
    end
  end

  defp pass(:pass, data, from, to, mode, way), do: forward(data, from, to, mode, way)

  defp pass({:throttle, bytes}, data, from, to, mode, way) do
    {data, rest} = cut(data, @part)

    receive do
    after
      div(byte_size(data) * 1000, bytes) -> :ok
    end

    with :ok <- :gen_tcp.send(to, data) do
      if rest == "",
        do: pump(from, to, mode, way),
        else: pass(mode(mode), rest, from, to, mode, way)
    end
  end

  defp pass({:cut, sent, bytes}, data, from, to, mode, :down) do
    left = bytes - :counters.get(sent, 1)
    {data, rest} = cut(data, left)
    :counters.add(sent, 1, byte_size(data))
    :ok = :gen_tcp.send(to, data)
    if rest == "", do: pump(from, to, mode, :down), else: reset([from, to])
  end

  defp pass({:cut, _sent, _bytes}, data, from, to, mode, :up),
    do: forward(data, from, to, mode, :up)

  defp pass(:swallow, _data, from, to, mode, way), do: pump(from, to, mode, way)
  defp pass(other, _data, from, to, mode, way), do: idle(other, from, to, mode, way)

  defp idle(:stall, from, to, mode, way) do
    receive after: (50 -> idle(mode(mode), from, to, mode, way))
  end

  # The client's side is closed; the other process of this connection holds the worker's side.
  defp idle(:half_open, from, _to, mode, :up) do
    :gen_tcp.close(from)
    hold(mode)
  end

  defp idle(:half_open, _from, _to, mode, :down), do: hold(mode)
  defp idle(_other, from, to, mode, way), do: pump(from, to, mode, way)

  defp hold(mode) do
    if mode(mode) == :half_open, do: receive(after: (50 -> hold(mode)))
  end

  defp forward(data, from, to, mode, way) do
    with :ok <- :gen_tcp.send(to, data), do: pump(from, to, mode, way)
  end

  # At once, and what was sent before may be lost: RST.
  defp reset(sockets) do
    for socket <- sockets do
      :inet.setopts(socket, linger: {true, 0})
      :gen_tcp.close(socket)
    end
  end

  defp cut(data, size) when byte_size(data) <= size, do: {data, ""}

  defp cut(data, size),
    do: {binary_part(data, 0, size), binary_part(data, size, byte_size(data) - size)}

  defp mode(table) do
    [{:mode, mode}] = :ets.lookup(table, :mode)
    mode
  end
end
