defmodule Vllm.Certificates do
  @moduledoc false
  # Certificates for tests, made when they are asked for, in files of PEM.

  @made [key: {:namedCurve, :secp256r1}, digest: :sha256]
  @alternative_names {2, 5, 29, 17}

  # A CA; its certificate is in the file `name.pem` of the folder.
  def authority(folder, name \\ "ca") do
    # OTP writes the signatures of elliptic curves in a form that gRPC does not take.
    options = [digest: :sha256, key: {:rsa, 2048, 65_537}]
    root = :public_key.pkix_test_root_cert(String.to_charlist(name), options)
    path = Path.join(folder, name <> ".pem")
    write(path, [{:Certificate, root.cert, :not_encrypted}])
    %{root: root, path: path, folder: folder}
  end

  # The files of a certificate and its key. `names` are hosts, or IPv4 addresses as tuples; `:validity`
  # is a pair of dates.
  def issue(%{root: root, folder: folder}, file, names, options \\ []) do
    alternatives =
      for name <- names do
        if is_tuple(name),
          do: {:iPAddress, name |> Tuple.to_list() |> :binary.list_to_bin()},
          else: {:dNSName, String.to_charlist(name)}
      end

    extension = {:Extension, @alternative_names, false, alternatives}
    peer = @made ++ [extensions: [extension]] ++ options
    made = :public_key.pkix_test_data(%{root: root, intermediates: [], peer: peer})
    {type, der} = made[:key]
    certfile = Path.join(folder, file <> ".pem")
    keyfile = Path.join(folder, file <> ".key")
    write(certfile, [{:Certificate, made[:cert], :not_encrypted}])
    write(keyfile, [{type, der, :not_encrypted}])
    %{certfile: certfile, keyfile: keyfile}
  end

  def own(pair), do: [certfile: pair.certfile, keyfile: pair.keyfile]

  def expired, do: [validity: {{2020, 1, 1}, {2020, 1, 2}}]

  defp write(path, entries), do: File.write!(path, :public_key.pem_encode(entries))
end
