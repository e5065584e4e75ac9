# Stand-ins for what `Mix.Tasks.VllmBridge.Install` uses of Igniter 0.8.2. The project is `:shop`, whose
# modules begin with `Shop`. What there is in it is values: texts of files by their paths, the
# configuration of each file as a keyword list, the children of its supervision tree.

defmodule Igniter do
  defstruct args: nil, files: %{}, config: %{}, children: [], notices: []

  def add_notice(%__MODULE__{} = igniter, notice) when is_binary(notice),
    do: %{igniter | notices: Enum.uniq([notice | igniter.notices])}
end

defmodule Igniter.Mix.Task.Args do
  defstruct positional: %{}, options: [], argv_flags: [], argv: []
end

defmodule Igniter.Mix.Task.Info do
  defstruct schema: [],
            defaults: [],
            required: [],
            aliases: [],
            group: nil,
            composes: [],
            only: nil,
            dep_opts: [],
            installs: [],
            adds_deps: [],
            positional: [],
            example: nil,
            extra_args?: false
end

defmodule Igniter.Mix.Task do
  @callback supports_umbrella?() :: boolean()
  @callback igniter(struct()) :: struct()
  @callback info([String.t()], nil | String.t()) :: struct()
  @callback parse_argv([String.t()]) :: struct()
  @callback installer?() :: boolean()

  defmacro __using__(_options) do
    quote generated: true do
      use Mix.Task
      @behaviour Igniter.Mix.Task

      @impl Mix.Task
      def run(argv), do: igniter(%Igniter{args: parse_argv(argv)})

      @impl Igniter.Mix.Task
      def installer?, do: __MODULE__ |> Mix.Task.task_name() |> String.ends_with?(".install")

      @impl Igniter.Mix.Task
      def supports_umbrella?, do: false

      @impl Igniter.Mix.Task
      def info(_argv, _composing_task), do: %Igniter.Mix.Task.Info{extra_args?: true}

      @impl Igniter.Mix.Task
      def parse_argv(argv) do
        info = info(argv, Mix.Task.task_name(__MODULE__))
        switches = [switches: info.schema, aliases: info.aliases]
        {options, _rest} = OptionParser.parse!(argv, switches)
        options = Keyword.merge(info.defaults, options)
        %Igniter.Mix.Task.Args{options: options, argv: argv, argv_flags: argv}
      end

      defoverridable run: 1, supports_umbrella?: 0, info: 2, installer?: 0, parse_argv: 1
    end
  end
end

defmodule Igniter.Project.Application do
  def app_name(%Igniter{}), do: :shop

  # The new child is the first one. One whose module is there already changes nothing.
  def add_new_child(%Igniter{children: children} = igniter, module) when is_atom(module) do
    if module in children,
      do: igniter,
      else: %{igniter | children: [module | children]}
  end
end

defmodule Igniter.Project.Config do
  # `path` is the way to a value below that of `app`. A value that is there stays.
  def configure_new(%Igniter{} = igniter, file, app, [key | path], value) when is_atom(app) do
    config =
      Config.Reader.merge(
        [{app, [{key, nested(path, value)}]}],
        Map.get(igniter.config, file, [])
      )

    put_in(igniter.config[file], config)
  end

  defp nested([], value), do: value
  defp nested([key | path], value), do: [{key, nested(path, value)}]
end

defmodule Igniter.Project.Module do
  def module_name(%Igniter{}, suffix) when is_binary(suffix), do: Module.concat(Shop, suffix)

  def find_and_update_or_create_module(igniter, module, contents, updater, options)
      when is_function(updater, 1) do
    folder =
      case Keyword.validate!(options, location: :source_folder) do
        [location: :source_folder] -> "lib"
        [location: :test] -> "test"
      end

    path = Path.join(folder, Macro.underscore(module) <> extension(folder))

    case igniter.files do
      %{^path => _text} ->
        {:ok, :zipper} = updater.(:zipper)
        igniter

      %{} ->
        put_in(igniter.files[path], "defmodule #{inspect(module)} do\n#{contents}end\n")
    end
  end

  defp extension("test"), do: ".exs"
  defp extension(_source), do: ".ex"
end
