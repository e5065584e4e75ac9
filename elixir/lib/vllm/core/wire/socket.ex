defmodule Vllm.Core.Wire.Socket do
  @moduledoc false
  # The connection to a worker, with or without TLS: connects to an address of the form that the worker
  # prints ("unix:PATH", "tcp:HOST:PORT" or "tls://HOST:PORT"), sends and receives, and turns reasons of
  # :inet and :ssl into errors.

  alias Vllm.Error
  alias Vllm.Core.Wire.TLS

  @typedoc "The module that has the socket, and the socket as it is in its messages."
  @type t :: {:gen_tcp, :gen_tcp.socket()} | {:ssl, :ssl.sslsocket()}

  # A worker that does not read for so long is stopped or hangs: the connection fails then, instead of
  # blocking all callers.
  @send_timeout 15_000

  # Reads of 64 kB would mean a thousand messages for a large tensor.
  @options [:binary, active: false, packet: :raw, buffer: 256 * 1024] ++
             [recbuf: 1024 * 1024, sndbuf: 1024 * 1024] ++
             [send_timeout: @send_timeout, send_timeout_close: true]

  # Bytes. sun_path of sockaddr_un holds 108 on Linux and 104 on macOS and BSD, with a final zero.
  @max_path if(match?({:unix, :linux}, :os.type()), do: 107, else: 103)

  @doc "What is said of a worker to which `send/2` could send nothing: its error is `:timeout`."
  @spec unread() :: String.t()
  def unread, do: "has read nothing for #{@send_timeout} ms"

  @doc "The most bytes that the path of a Unix socket may have."
  @spec max_path() :: pos_integer()
  def max_path, do: @max_path

  @doc "Connects. `tls` is used for an address that begins with `tls:`."
  @spec connect(address :: String.t(), TLS.options(), timeout()) ::
          {:ok, t()} | {:error, Error.t()}
  def connect(address, tls, timeout) do
    with {:ok, module, host, port, options} <- endpoint(address) do
      case open(module, host, port, options, tls, timeout) do
        {:ok, socket} -> {:ok, {module, socket}}
        {:error, reason} -> {:error, unreachable(address, reason)}
      end
    end
  end

  defp open(:gen_tcp, host, port, options, _tls, timeout),
    do: :gen_tcp.connect(host, port, options, timeout)

  defp open(:ssl, host, port, options, tls, timeout),
    do: TLS.connect(host, port, options, tls, timeout)

  @spec send(t(), iodata()) :: :ok | {:error, term()}
  def send({module, socket}, data), do: module.send(socket, data)

  @doc "The next bytes of a socket that `activate/2` was not called for."
  @spec recv(t(), timeout()) :: {:ok, binary()} | {:error, term()}
  def recv({:gen_tcp, socket}, timeout), do: :gen_tcp.recv(socket, 0, timeout)

  def recv({:ssl, socket}, timeout) do
    # It is active from the beginning, see TLS.connect/5. One that has ended has sent its reason.
    _active = :ssl.setopts(socket, active: :once)

    receive do
      {:ssl, ^socket, bytes} -> {:ok, bytes}
      {:ssl_error, ^socket, reason} -> {:error, reason}
      {:ssl_closed, ^socket} -> {:error, :closed}
    after
      timeout -> {:error, :timeout}
    end
  end

  @doc "Has the next `count` parts of what comes sent to the owner as messages."
  @spec activate(t(), pos_integer()) :: :ok | {:error, term()}
  def activate({:gen_tcp, socket}, count), do: :inet.setopts(socket, active: count)
  def activate({:ssl, socket}, count), do: :ssl.setopts(socket, active: count)

  @doc "How many bytes have come, in all."
  @spec received(t()) :: {:ok, non_neg_integer()} | {:error, term()}
  def received({module, socket}) do
    stats =
      if module == :ssl,
        do: :ssl.getstat(socket, [:recv_oct]),
        else: :inet.getstat(socket, [:recv_oct])

    with {:ok, [recv_oct: bytes]} <- stats, do: {:ok, bytes}
  end

  @spec close(t()) :: :ok
  def close({module, socket}) do
    _closed = module.close(socket)
    :ok
  end

  @doc "Refuses a path that is too long for a Unix socket. The kernel would only report `einval`."
  @spec check_path(Path.t()) :: :ok | {:error, Error.t()}
  def check_path(path) when byte_size(path) <= @max_path, do: :ok

  def check_path(path) do
    {:error,
     Error.new(
       :invalid,
       "the socket path #{shown(path)} has #{byte_size(path)} bytes, a Unix socket takes at most " <>
         "#{@max_path}; set the option :socket_dir to a shorter folder"
     )}
  end

  @doc "Makes a Unix socket at a path and removes it again, to find out whether that is possible."
  @spec try_listen(Path.t()) :: :ok | {:error, atom()}
  def try_listen(path) do
    with {:ok, socket} <- :gen_tcp.listen(0, ifaddr: {:local, path}) do
      :gen_tcp.close(socket)
      File.rm(path)
    end
  end

  @doc """
  An address as this module takes it, from the URI that the worker prints and sends: there each byte of
  a path that is no letter, digit or `/._-~` is written as `%XX`. What is no URI stays as it is.
  """
  @spec from_uri(String.t()) :: String.t()
  def from_uri(uri) do
    URI.decode(uri)
  rescue
    ArgumentError -> uri
  end

  @doc "A path or an address for a message. What is no text in one line is shown as in a URI."
  @spec shown(String.t()) :: String.t()
  def shown(path) do
    if String.valid?(path) and not (path =~ ~r/[\p{C}\p{Zl}\p{Zp}]/u),
      do: path,
      else: URI.encode(path, &(&1 in 0x21..0x7E and &1 != ?%))
  end

  @spec error(term()) :: Error.t()
  def error(:closed), do: Error.new(:worker_down, "the worker closed the connection")
  def error(reason), do: TLS.error(reason) || error("the connection failed", reason)

  defp unreachable(address, %Error{} = error),
    do: %{error | message: "cannot connect to the worker at #{shown(address)}: #{error.message}"}

  defp unreachable(address, reason),
    do: error("cannot connect to the worker at #{shown(address)}", reason)

  defp error(what, :closed),
    do: Error.new(:worker_down, "#{what}: the other side closed the connection")

  defp error(what, reason) do
    Error.new(:worker_down, "#{what}: #{:inet.format_error(reason)}")
  end

  defp endpoint("unix:" <> path) do
    with :ok <- check_path(path), do: {:ok, :gen_tcp, {:local, path}, 0, @options}
  end

  # Without nodelay, TCP delays small requests for up to 40 ms to send them together.
  defp endpoint("tcp:" <> rest = address) do
    with {:ok, host, port, options} <- network(rest, address),
         do: {:ok, :gen_tcp, String.to_charlist(host), port, options}
  end

  defp endpoint("tls://" <> rest = address) do
    with {:ok, host, port, options} <- network(rest, address),
         do: {:ok, :ssl, host, port, options}
  end

  defp endpoint("tls:" <> rest), do: endpoint("tls://" <> rest)
  defp endpoint(address), do: unknown(address)

  defp network(rest, address) do
    case Regex.run(~r/^(?:\[(.+)\]|([^:]+)):(\d+)$/, rest) do
      [_, ipv6, "", port] -> network(ipv6, port, [:inet6], address)
      [_, "", host, port] -> network(host, port, [], address)
      nil -> unknown(address)
    end
  end

  defp network(host, port, options, address) do
    case String.to_integer(port) do
      port when port in 0..65_535 -> {:ok, host, port, options ++ [{:nodelay, true} | @options]}
      _too_high -> unknown(address)
    end
  end

  defp unknown(address) do
    {:error,
     Error.new(
       :invalid,
       "the address #{inspect(address)} is neither unix:PATH nor tcp:HOST:PORT nor tls://HOST:PORT"
     )}
  end
end
