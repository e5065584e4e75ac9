defmodule Vllm.Core.Worker.FolderTest do
  use ExUnit.Case, async: true

  import Bitwise

  alias Vllm.Error
  alias Vllm.Core.Worker.Folder

  # Short, because the path of a socket must be.
  setup do
    root = "/tmp/f#{System.unique_integer([:positive])}-#{System.pid()}"
    File.mkdir!(root)
    File.chmod!(root, 0o700)
    on_exit(fn -> File.rm_rf!(root) end)
    %{root: root}
  end

  defp at(paths), do: Enum.map(paths, &{"here (#{inspect(&1)})", &1})

  # A folder whose path has so many bytes.
  defp of_length(root, length) do
    missing = length - byte_size(root) - 1
    parts = for n <- 0..div(missing, 100), do: String.duplicate("x", min(100, missing - 100 * n))
    path = Path.join([root | Enum.reject(parts, &(&1 == ""))])
    File.mkdir_p!(path)
    path
  end

  test "a place of any length is taken if vLLM's sockets fit, else the next one", %{root: root} do
    other = Path.join(root, "other")
    File.mkdir!(other)

    for length <- (byte_size(root) + 2)..108 do
      path = of_length(root, length)
      {:ok, folder} = Folder.choose(at([path, other]))
      fits? = byte_size("#{path}/vllm-12345678/") + 36 <= 107
      assert Path.dirname(folder.files) == if(fits?, do: path, else: other)
      assert folder.passed_over == [] or hd(folder.passed_over) =~ ~r/has \d+ bytes, at most 56/
      # As vLLM does.
      socket = Path.join(folder.files, String.duplicate("x", 36))
      {:ok, listener} = :gen_tcp.listen(0, ifaddr: {:local, socket})
      :gen_tcp.close(listener)
      Folder.remove(folder)
      assert File.ls!(Path.dirname(folder.files)) -- ["other"] == []
      File.rm_rf!(Path.join(root, "x" |> String.duplicate(length - byte_size(root) - 1)))
    end
  end

  test "the folder is new and for this user only", %{root: root} do
    {:ok, one} = Folder.choose(at([root]))
    {:ok, other} = Folder.choose(at([root]))
    assert one.files != other.files and one.sockets == one.files
    for path <- [one.files, other.files], do: assert((File.lstat!(path).mode &&& 0o777) == 0o700)
    {:ok, elsewhere} = Folder.choose(at([root, "/tmp"]), Path.basename(one.files))
    assert Path.dirname(elsewhere.files) == "/tmp"
    Folder.remove(elsewhere)
  end

  test "places that do not suit are passed over, each with the reason", %{root: root} do
    file = Path.join(root, "file")
    File.write!(file, "")

    odd =
      for name <- ["ü", "a b", ~s("), "\\", "%41", "#", "?", "a\nb", <<255>>, "~"],
          do: "/tmp/#{name}"

    unfit = ["relative", "" | odd] ++ [file, root <> "/missing", "/proc"]

    {:ok, folder} = Folder.choose(at(unfit) ++ at([root]))
    assert Path.dirname(folder.files) == root
    assert length(folder.passed_over) == length(unfit)
    assert Enum.at(folder.passed_over, 0) =~ "is no absolute path"
    assert Enum.at(folder.passed_over, 2) =~ "characters other than letters"
    assert List.last(folder.passed_over) =~ "cannot be used: "
    assert [_one] = File.ls!(root) -- ["file"]
  end

  test "without a place the error names each with its reason" do
    assert {:error, %Error{kind: :worker_down} = error} = Folder.choose(at(["/nowhere", "x"]))
    assert error.message =~ "/nowhere\") cannot be used: no such file"
    assert error.message =~ "\"x\") is no absolute path"
    assert error.message =~ "set TMPDIR"
  end

  test "a place where others may rename files is only taken if there is no other", %{root: root} do
    [open, sticky, safe] = for name <- ~w(open sticky safe), do: Path.join(root, name)
    for path <- [open <> "/in", sticky, safe], do: File.mkdir_p!(path)
    File.chmod!(open, 0o777)
    # File.chmod/2 leaves the sticky bit out.
    {"", 0} = System.cmd("chmod", ["1777", sticky])
    File.ln_s!(open, Path.join(root, "link"))

    for place <- [open, open <> "/in", Path.join(root, "link")] do
      {:ok, folder} = Folder.choose(at([place, safe]))
      assert Path.dirname(folder.files) == safe
      assert [reason] = folder.passed_over
      assert reason =~ "every user may rename files"

      {:ok, folder} = Folder.choose(at(["/nowhere", place]))
      assert Path.dirname(folder.files) == place
      assert folder.warning =~ "every user may rename files"
      assert [_nowhere] = folder.passed_over
      Folder.remove(folder)
    end

    assert {:ok, %{warning: nil, passed_over: []}} = Folder.choose(at([sticky]))
    assert File.ls!(open) == ["in"]
  end

  test "the option comes first, then the variables of the worker, then those of this process" do
    places = Folder.candidates(%{"TMPDIR" => "/mine", TEMP: false, TMP: ""})
    named = Enum.map(places, &elem(&1, 1))
    assert "/mine" in named
    assert ["/tmp", "/var/tmp", "/dev/shm"] == Enum.take(named, -3)
    assert {"TMPDIR (/mine)", "/mine"} in places
    refute Enum.any?(places, fn {source, _path} -> source =~ ~r/^TE?MP / end)

    assert [{"VLLM_RPC_BASE_PATH (/a%0A)", "/a\n"} | _] =
             Folder.candidates(%{"VLLM_RPC_BASE_PATH" => "/a\n"})
  end

  describe "with the option :socket_dir" do
    test "everything lies there if it suits vLLM", %{root: root} do
      {:ok, folder} = Folder.make(root)
      assert Path.dirname(folder.files) == root
      assert Folder.paths(folder) == [folder.files]
    end

    test "whatever it is called, the worker's socket lies there, and vLLM's elsewhere", %{
      root: root
    } do
      long = String.duplicate("x", 60 - byte_size(root))

      for name <- [long, "ü \"\\%#\n", <<255, 254>>] do
        path = Path.join(root, name)
        File.mkdir!(path)
        {:ok, folder} = Folder.make(path, %{"TMPDIR" => root})
        assert Path.dirname(folder.sockets) == path
        assert Path.dirname(folder.files) == root
        assert Path.basename(folder.files) == Path.basename(folder.sockets)
        assert [reason] = folder.passed_over
        assert reason =~ "the option :socket_dir has"
        Folder.remove(folder)
        assert File.ls!(path) == []
        File.rmdir!(path)
      end

      assert File.ls!(root) == []
    end

    test "where no socket can be made there it is an error that names the option", %{root: root} do
      long = of_length(root, 90)

      for path <- [long, "/proc", "/nowhere", Path.join(root, <<255>>)] do
        assert {:error, %Error{message: message}} = Folder.make(path)
        assert message =~ ":socket_dir"
        assert String.valid?(message)
      end

      assert File.ls!(long) == []
    end
  end
end
