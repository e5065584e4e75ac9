defmodule ChatPage do
  # A web page that chats with an engine. Each connection is a process, so there is nothing to stop or
  # to clean up by hand: when the button *Stop* is pressed or the tab is closed, the browser closes the
  # connection, its process ends, and with it the request in the engine.
  #
  #     ChatPage                    one_for_one
  #     ├── Task.Supervisor         a task for each connection
  #     └── Task                    accepts connections
  #
  # Start it with `{ChatPage, engine: engine, port: 4000}`. `engine` may be a function, which is asked
  # for each request, such as `fn -> Vllm.engine(MyApp.Vllm, :chat) end`.

  use Supervisor

  alias ChatPage.{Connection, HTTP}

  def start_link(options), do: Supervisor.start_link(__MODULE__, options)

  @doc "The port of a page that was started with port 0."
  def port(page) do
    [port] =
      for {{:accept, port}, _pid, _type, _modules} <- Supervisor.which_children(page), do: port

    port
  end

  @doc false
  # What a page needs to know, from the options of its start.
  def page(options) do
    %{
      engine: Keyword.fetch!(options, :engine),
      title: Keyword.get(options, :title, "Chat"),
      chat: Keyword.get(options, :chat, []),
      port: Keyword.get(options, :port)
    }
  end

  @impl true
  def init(options) do
    # Opened here, so that a port in use is an error of the start.
    case HTTP.listen(Keyword.get(options, :port, 0)) do
      {:ok, listener, port} -> init(options, listener, port)
      {:error, reason} -> raise "the port cannot be opened: #{:inet.format_error(reason)}"
    end
  end

  defp init(options, listener, port) do
    connections = Module.concat(__MODULE__, "Connections#{port}")

    page = page(Keyword.put(options, :port, port))

    accept = %{
      id: {:accept, port},
      start: {Task, :start_link, [__MODULE__, :accept, [listener, connections, page]]},
      restart: :permanent
    }

    children = [{Task.Supervisor, name: connections}, accept]
    Supervisor.init(children, strategy: :one_for_one)
  end

  @doc false
  def accept(listener, connections, page) do
    {:ok, socket} = :gen_tcp.accept(listener)

    {:ok, pid} =
      Task.Supervisor.start_child(connections, fn ->
        receive do
          :yours -> Connection.serve(socket, page)
        end
      end)

    # The socket is closed when its owner ends, however it ends.
    with :ok <- :gen_tcp.controlling_process(socket, pid), do: send(pid, :yours)
    accept(listener, connections, page)
  end
end
