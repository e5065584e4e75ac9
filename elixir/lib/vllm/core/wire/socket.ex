defmodule Vllm.Core.Wire.Socket do
  @moduledoc false
  # Connects to an address of the form that the worker prints, "unix:PATH" or "tcp:HOST:PORT", and
  # turns reasons of :inet into errors.

  alias Vllm.Error

  # Reads of 64 kB would mean a thousand messages for a large tensor. A worker that does not read for
  # 15 s is stopped or hangs: the connection fails then, instead of blocking all callers.
  @options [:binary, active: false, packet: :raw, buffer: 256 * 1024] ++
             [recbuf: 1024 * 1024, sndbuf: 1024 * 1024] ++
             [send_timeout: 15_000, send_timeout_close: true]

  # Bytes. sun_path of sockaddr_un holds 108 on Linux and 104 on macOS and BSD, with a final zero.
  @max_path if(match?({:unix, :linux}, :os.type()), do: 107, else: 103)

  @doc "The most bytes that the path of a Unix socket may have."
  @spec max_path() :: pos_integer()
  def max_path, do: @max_path

  @spec connect(address :: String.t(), timeout()) ::
          {:ok, :gen_tcp.socket()} | {:error, Error.t()}
  def connect(address, timeout) do
    with {:ok, host, port, options} <- endpoint(address) do
      case :gen_tcp.connect(host, port, options, timeout) do
        {:ok, socket} -> {:ok, socket}
        {:error, reason} -> {:error, unreachable(address, reason)}
      end
    end
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
  def error(reason), do: error("the connection failed", reason)

  defp unreachable(address, reason),
    do: error("cannot connect to the worker at #{shown(address)}", reason)

  defp error(what, reason) do
    Error.new(:worker_down, "#{what}: #{:inet.format_error(reason)}")
  end

  defp endpoint("unix:" <> path) do
    with :ok <- check_path(path), do: {:ok, {:local, path}, 0, @options}
  end

  # Without nodelay, TCP delays small requests for up to 40 ms to send them together.
  defp endpoint("tcp:" <> rest = address) do
    case Regex.run(~r/^(?:\[(.+)\]|([^:]+)):(\d+)$/, rest) do
      [_, ipv6, "", port] -> endpoint(ipv6, port, [:inet6])
      [_, "", host, port] -> endpoint(host, port, [])
      nil -> unknown(address)
    end
  end

  defp endpoint(address), do: unknown(address)

  defp endpoint(host, port, options) do
    options = options ++ [{:nodelay, true} | @options]
    {:ok, String.to_charlist(host), String.to_integer(port), options}
  end

  defp unknown(address) do
    {:error,
     Error.new(
       :invalid,
       "the address #{inspect(address)} is neither unix:PATH nor tcp:HOST:PORT"
     )}
  end
end
